"""Settings of policy: which source's rules hold, what a project may ask for, what is a mistake."""

from typing import Any

import pytest

from relay import config
from relay.addresses import Destination
from relay.config import ConfigError, Settings, Sources
from relay.policy import presets
from relay.policy.verdicts import NOT_ALLOWED, Allow, Deny

TABLE = """
keepidle = 30
deny = ["top.test"]

[policy]
mode = "allowlist"
presets = ["npm"]
private = "deny"
allow = [
  "a.test",
  { host = "b.test:443", reason = "the build needs it" },
]
deny = [{ host = "*.evil.test", reason = "a competitor" }]
"""


def at(host: str, port: int = 443) -> Destination:
    return Destination(host, port)


def flags(**words: str) -> dict[str, Any]:
    return config.from_words(words, lambda key: f"--{key}: ")


def environment(**words: str) -> dict[str, Any]:
    return config.from_environment({f"KEEPLINE_{key.upper()}": to for key, to in words.items()})


def file(text: str) -> dict[str, Any]:
    return config.from_toml(text, "c.toml")


def project(text: str) -> config.Project:
    return config.from_project(text, ".keepline.toml")


def test_the_table() -> None:
    settings = config.merge(file(TABLE))
    assert (settings.keepidle, settings.policy_mode, settings.private) == (30, "allowlist", "deny")
    assert settings.presets == ("npm",)
    policy = settings.policy()
    assert policy.decide(at("b.test")) == Allow()
    assert policy.decide(at("b.test", 80)) == Deny(NOT_ALLOWED)
    assert policy.decide(at("x.evil.test")) == Deny("*.evil.test", "a competitor", "c.toml:13")
    assert policy.decide(at("top.test")) == Deny("top.test", "", "c.toml:3")
    sources = {rule.text: rule.source for rule in policy.limits[0].allow.rules}
    assert sources["a.test"] == "c.toml:10"
    assert sources["b.test:443"] == "c.toml:11"
    assert "preset npm" in sources.values()


def test_rules_above_the_table_and_in_it_stand_in_one_source() -> None:
    text = 'allow = ["a.test"]\n[policy]\nallow = ["b.test"]\n'
    allow = config.merge(file(text)).policy().limits[0].allow
    hosts = [rule.text for rule in allow.rules]
    assert hosts == ["a.test", "b.test"]


def test_denies_of_all_sources_add_up() -> None:
    settings = config.merge(
        file('deny = ["file.test"]'), environment(deny="environment.test"),
        flags(deny="flag.test,other.test"), projects=[project('deny = ["project.test"]')],
    )  # fmt: skip
    policy = settings.policy()
    for host, source in {
        "file.test": "c.toml:1",
        "environment.test": "KEEPLINE_DENY",
        "flag.test": "--deny",
        "other.test": "--deny",
        "project.test": ".keepline.toml:1",
    }.items():
        assert policy.decide(at(host)) == Deny(host, "", source)


NPM = presets.load("npm").allow[0].text.removesuffix(":443")


def allowed(settings: Settings) -> set[str]:
    policy = settings.policy()
    hosts = ("file.test", "environment.test", "flag.test", "project.test", NPM)
    return {host for host in hosts if policy.decide(at(host)) == Allow()}


FILE = 'allow = ["file.test", "project.test"]'


@pytest.mark.parametrize(
    ("sources", "projects", "hosts"),
    [
        ((file(FILE),), (), {"file.test", "project.test"}),
        ((file(FILE), environment(allow="environment.test")), (), {"environment.test"}),
        ((file(FILE), environment(allow="x.test"), flags(allow="flag.test")), (), {"flag.test"}),
        ((file(FILE + '\npresets = ["npm"]'),), (), {"file.test", "project.test", NPM}),
        ((file(FILE), flags(presets="npm")), (), {NPM}),
        ((file('presets = ["npm"]'), flags(allow="flag.test")), (), {"flag.test"}),
        ((file(FILE), environment(policy_mode="allowlist")), (), {"file.test", "project.test"}),
        ((file(FILE),), ('allow = ["project.test", "flag.test"]',), {"project.test"}),
        ((file(FILE),), ('allow = ["x.test"]',), set()),
        ((), ('allow = ["project.test", "flag.test"]', 'allow = ["flag.test"]'), {"flag.test"}),
        ((flags(allow="flag.test"),), ('[policy]\nmode = "allowlist"',), {"flag.test"}),
        (
            (flags(allow="flag.test", policy_mode="open"),),
            ('[policy]\nmode = "allowlist"',),
            {"flag.test"},
        ),
        # A mode of a less trusted source does not open the list of one that is trusted more.
        ((file('policy_mode = "open"'), flags(allow="flag.test")), (), {"flag.test"}),
        ((file('policy_mode = "open"'), environment(allow="flag.test")), (), {"flag.test"}),
        ((environment(policy_mode="open"), flags(allow="flag.test")), (), {"flag.test"}),
    ],
)
def test_a_list_is_that_of_the_source_trusted_most_and_only_narrowed(
    sources: tuple[dict[str, Any], ...], projects: tuple[str, ...], hosts: set[str]
) -> None:
    assert allowed(config.merge(*sources, projects=map(project, projects))) == hosts


def test_who_is_trusted_more_may_open_a_list() -> None:
    settings = config.merge(file(FILE), flags(policy_mode="open"))
    assert len(allowed(settings)) == 5


def test_private_addresses() -> None:
    closed = config.merge(file('[policy]\nprivate = "deny"')).policy()
    assert isinstance(closed.decide(at("10.0.0.1")), Deny)
    opened = config.merge(file('private = "deny"'), flags(private="allow")).policy()
    assert opened.decide(at("10.0.0.1")) == Allow()
    tightened = config.merge(flags(private="allow"), projects=[project('private = "deny"')])
    assert isinstance(tightened.policy().decide(at("10.0.0.1")), Deny)
    strict = config.merge(flags(strict="true")).policy()
    assert isinstance(strict.decide(at("10.0.0.1")), Deny)
    assert strict.is_allowlist


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("allow = []", "c.toml:1: allow: it is empty: name what it is about, or leave it out"),
        ("\n[policy]\nallow = []", "c.toml:3: allow: it is empty"),
        ("presets = []", "c.toml:1: presets: it is empty"),
        ("[policy]\npresets = ['nope']", "c.toml:2: presets: Invalid enum value 'nope'"),
        ("[policy]\nmode = 'closed'", "c.toml:2: policy_mode: Invalid enum value 'closed'"),
        ("[policy]\nhost = 1", "c.toml:2: policy.host: there is no such setting, but mode,"),
        ("policy = 1", "c.toml:1: policy: there is no such setting"),
        ("allow = ['a.test:0']", "c.toml:1: allow: 'a.test:0': the port is no number from 1"),
        ("allow = [{reason = 'x'}]", "c.toml:1: allow: Object missing required field `host`"),
        ("allow = [{host = 'a', why = 'x'}]", "c.toml:1: allow: Object contains unknown field"),
        ("allow = [1]", "c.toml:1: allow: Expected `str | object`, got `int`"),
        ("allow = ['a']\n[policy]\nallow = 'b'", "c.toml:1: policy.allow: allow says it already"),
        ("private = 'deny'\n[policy]\nprivate = 'allow'", "c.toml:1: policy.private: private says"),
        ('"\\u001b[2J" = 1', "c.toml:1: '\\x1b[2J': there is no such setting"),
        ('[policy]\n"\\u001b[2J" = 1', "c.toml:1: policy.'\\x1b[2J': there is no such setting"),
        ('deny = [{host = "a", reason = "\\u001b[2J"}]', "c.toml:1: deny: 'a': a reason is a line"),
        ('deny = [{host = "a", reason = "x\\ny"}]', "c.toml:1: deny: 'a': a reason is a line"),
        ("a = " + "[" * 100_000, "c.toml: maximum recursion depth exceeded"),
        ("a = " + "1" * 5_000, "c.toml: Exceeds the limit"),
        ("projects = []", "c.toml:1: projects: there is no such setting"),
        ("[policy]\nallow = 'a'\n", "c.toml:2: allow: Expected `array`, got `str`"),
    ],
)
def test_a_mistake_in_the_file(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        file(text)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("key", ["allow", "deny", "presets"])
@pytest.mark.parametrize("text", ["", " ", ",", "a.test,", ",,"])
def test_a_list_in_words_may_not_be_empty(key: str, text: str) -> None:
    with pytest.raises(ConfigError, match=f"^KEEPLINE_{key.upper()}: {key}: "):
        environment(**{key: text})
    with pytest.raises(ConfigError, match=f"^--{key}: {key}: "):
        flags(**{key: text})


def test_mode_allowlist_needs_a_list() -> None:
    with pytest.raises(ConfigError, match=r"^mode allowlist without any allow rule or preset"):
        config.merge(flags(policy_mode="allowlist"))
    with pytest.raises(ConfigError, match=r"^\.keepline\.toml: mode allowlist without any"):
        config.merge(projects=[project('policy_mode = "allowlist"')])


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("keepidle = 3", "1: keepidle"),
        ("\n[policy]\npresets = ['npm']", "3: presets"),
        ("\n[policy]\nmode = 'open'", "3: mode"),
        ("private = 'allow'", "1: private"),
        ("gateway = 'off'", "1: gateway"),
        ("strict = true", "1: strict"),
        ("[destination.'a.test']\nidle_retire = 1", "1: destination"),
    ],
)
def test_a_project_can_only_tighten(text: str, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        project(text)
    assert str(caught.value).startswith(
        f".keepline.toml:{key}: the file of a project can only tighten"
    )


def test_a_change_of_files_while_a_session_runs() -> None:
    sources = Sources(file=file('presets = ["npm"]'), path="c.toml", flags=flags(deny="flag.test"))
    change = sources.changed(file('presets = ["npm"]\ndeny = ["x.test"]'), [project(FILE)])
    policy = sources.settings().policy().narrowed(change.settings().policy())
    assert policy.decide(at("x.test")) == Deny("x.test", "", "c.toml:2")
    assert policy.decide(at("flag.test")) == Deny("flag.test", "", "--deny")
    assert policy.decide(at(NPM)) == Deny(NOT_ALLOWED)
    with pytest.raises(ConfigError, match=r"^c\.toml: a preset that is new to it"):
        sources.changed(file('presets = ["npm", "pypi"]'), ())


def test_what_holds_is_told() -> None:
    opened = "private addresses denied unless a rule opens them"
    assert config.merge().told_rules() == ""
    assert config.merge(file(TABLE)).told_rules() == (
        f"mode allowlist, allow rules: 2, deny rules: 2, preset npm, {opened}"
    )
    assert config.merge(flags(presets="npm")).told_rules() == (
        f"mode allowlist, preset npm, {opened}"
    )
    assert config.merge(flags(strict="true")).told_rules() == f"mode open, {opened}"
    tightened = config.merge(flags(deny="a.test"), projects=[project('deny = ["b.test"]')])
    assert tightened.told_rules() == "mode open, deny rules: 1, tightened by .keepline.toml"
