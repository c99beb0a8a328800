/* Resolves and connects, for a libc other than glibc: HOST PORT. */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

int main(int count, char **arguments) {
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found;
    if (count != 3)
        return 2;
    int failed = getaddrinfo(arguments[1], arguments[2], &hints, &found);
    if (failed) {
        printf("said: %s\n", gai_strerror(failed));
        return 1;
    }
    int made = socket(found->ai_family, found->ai_socktype, 0);
    if (connect(made, found->ai_addr, found->ai_addrlen)) {
        printf("said: %s\n", strerror(errno));
        return 1;
    }
    puts("said: connected");
    return 0;
}
