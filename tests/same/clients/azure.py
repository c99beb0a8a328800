"""Asks for a token as on a cloud's virtual machine: azure-identity probes the metadata address.

It runs in an environment of its own, requirements-same.txt, so it is told by name what to import.
"""

import sys
from importlib import import_module

identity = import_module("azure.identity")
exceptions = import_module("azure.core.exceptions")

# Without those that look at files and run programs.
credential = identity.DefaultAzureCredential(
    exclude_environment_credential=True,
    exclude_workload_identity_credential=True,
    exclude_developer_cli_credential=True,
    exclude_cli_credential=True,
    exclude_powershell_credential=True,
    exclude_shared_token_cache_credential=True,
)
try:
    credential.get_token("https://management.azure.com/.default")
except exceptions.ClientAuthenticationError as error:
    for line in str(error).splitlines():
        if "ManagedIdentityCredential:" in line:
            sys.stdout.write(f"said: {line.rpartition(': ')[2]}\n")
    sys.exit(1)
