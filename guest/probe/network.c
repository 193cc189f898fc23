// Clients and servers. Addresses are numeric; names go through a resolver of our own, as a static program has no other.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "probe.h"

#define TIMEOUT_MS 5000
#define DNS_PORT 53
#define DNS_MESSAGE_MAX 512
#define NAME_MAX_LENGTH 256

static int make_address(const char *host, int port, struct sockaddr_storage *address) {
  memset(address, 0, sizeof *address);
  struct sockaddr_in *ipv4 = (struct sockaddr_in *)address;
  struct sockaddr_in6 *ipv6 = (struct sockaddr_in6 *)address;
  if (inet_pton(AF_INET, host, &ipv4->sin_addr) == 1) {
    ipv4->sin_family = AF_INET;
    ipv4->sin_port = htons((uint16_t)port);
    return sizeof *ipv4;
  }
  if (inet_pton(AF_INET6, host, &ipv6->sin6_addr) == 1) {
    ipv6->sin6_family = AF_INET6;
    ipv6->sin6_port = htons((uint16_t)port);
    return sizeof *ipv6;
  }
  return -1;
}

// --- names ----------------------------------------------------------------------------------------------------------

static bool first_nameserver(char *server, size_t size) {
  FILE *file = fopen("/etc/resolv.conf", "re");
  char line[512];
  bool found = false;
  while (file != NULL && !found && fgets(line, sizeof line, file) != NULL) {
    char value[64];
    if (sscanf(line, "nameserver %63s", value) == 1 && strlen(value) < size) {
      strcpy(server, value);
      found = true;
    }
  }
  if (file != NULL) fclose(file);
  return found;
}

static size_t encode_query(const char *name, uint8_t *query) {
  static const uint8_t header[12] = {0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0};
  memcpy(query, header, sizeof header);
  size_t at = sizeof header;
  while (*name != '\0') {
    size_t length = strcspn(name, ".");
    query[at++] = (uint8_t)length;
    memcpy(query + at, name, length);
    at += length;
    name += length + (name[length] == '.' ? 1 : 0);
  }
  static const uint8_t tail[5] = {0, 0, 1, 0, 1};
  memcpy(query + at, tail, sizeof tail);
  return at + sizeof tail;
}

static size_t skip_name(const uint8_t *message, size_t length, size_t at) {
  while (at < length && message[at] != 0) {
    if ((message[at] & 0xC0) == 0xC0) return at + 2;
    at += message[at] + 1u;
  }
  return at + 1;
}

// The first A record of an answer.
static bool first_address(const uint8_t *message, size_t length, char *address, size_t size) {
  if (length < 12 || (message[3] & 0x0F) != 0) return false;
  int answers = message[6] << 8 | message[7];
  size_t at = skip_name(message, length, 12) + 4;
  for (; answers > 0 && at + 12 < length; answers--) {
    at = skip_name(message, length, at);
    if (at + 10 > length) return false;
    int type = message[at] << 8 | message[at + 1];
    size_t data = (size_t)(message[at + 8] << 8 | message[at + 9]);
    if (type == 1 && data == 4 && at + 14 <= length)
      return inet_ntop(AF_INET, message + at + 10, address, (socklen_t)size) != NULL;
    at += 10 + data;
  }
  return false;
}

static bool ask(const char *server, const char *name, char *address, size_t size) {
  struct sockaddr_storage target;
  int target_length = make_address(server, DNS_PORT, &target);
  if (target_length < 0 || strlen(name) >= NAME_MAX_LENGTH) return false;
  int fd = socket(target.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  uint8_t message[DNS_MESSAGE_MAX];
  size_t length = encode_query(name, message);
  bool found = false;
  for (int attempt = 0; attempt < 2 && !found; attempt++) {
    if (sendto(fd, message, length, 0, (struct sockaddr *)&target, (socklen_t)target_length) < 0) break;
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    if (poll(&wait, 1, TIMEOUT_MS) <= 0) continue;
    uint8_t answer[DNS_MESSAGE_MAX];
    ssize_t got = recv(fd, answer, sizeof answer, 0);
    if (got > 0) {
      found = first_address(answer, (size_t)got, address, size);
      break;
    }
  }
  close(fd);
  return found;
}

// Tries the name under each search domain when it has fewer dots than five, as the pods' resolv.conf says, then as it is.
static bool lookup(const char *name, char *address, size_t size) {
  struct sockaddr_storage ignored;
  if (make_address(name, 0, &ignored) > 0) {
    snprintf(address, size, "%s", name);
    return true;
  }
  char server[64];
  if (!first_nameserver(server, sizeof server)) return false;
  FILE *file = fopen("/etc/resolv.conf", "re");
  char line[512];
  bool found = false;
  bool absolute = name[strlen(name) - 1] == '.';
  while (file != NULL && !absolute && !found && fgets(line, sizeof line, file) != NULL) {
    if (strncmp(line, "search ", 7) != 0) continue;
    char *rest = NULL;
    for (char *domain = strtok_r(line + 7, " \n", &rest); domain != NULL && !found; domain = strtok_r(NULL, " \n", &rest)) {
      char full[NAME_MAX_LENGTH];
      if (snprintf(full, sizeof full, "%s.%s", name, domain) < (int)sizeof full) found = ask(server, full, address, size);
    }
  }
  if (file != NULL) fclose(file);
  return found || ask(server, name, address, size);
}

int command_resolve(int count, char **arguments) {
  char address[64];
  if (count != 1) return 2;
  if (!lookup(arguments[0], address, sizeof address)) {
    fprintf(stderr, "%s: no address\n", arguments[0]);
    return 1;
  }
  printf("%s\n", address);
  return 0;
}

// --- clients --------------------------------------------------------------------------------------------------------

static int connect_to(const char *host, int port) {
  char address_text[64];
  struct sockaddr_storage address;
  if (!lookup(host, address_text, sizeof address_text)) {
    fprintf(stderr, "%s: no address\n", host);
    return -1;
  }
  int length = make_address(address_text, port, &address);
  int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  int error = 0;
  if (connect(fd, (struct sockaddr *)&address, (socklen_t)length) < 0) error = errno;
  if (error == EINPROGRESS) {
    struct pollfd wait = {.fd = fd, .events = POLLOUT};
    socklen_t size = sizeof error;
    error = ETIMEDOUT;
    if (poll(&wait, 1, TIMEOUT_MS) > 0) getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
  }
  if (error != 0) {
    fprintf(stderr, "connect %s port %d: %s\n", host, port, strerror(error));
    close(fd);
    return -1;
  }
  return fd;
}

static ssize_t read_in_time(int fd, char *data, size_t size) {
  struct pollfd wait = {.fd = fd, .events = POLLIN};
  if (poll(&wait, 1, TIMEOUT_MS) <= 0) return -1;
  return read(fd, data, size);
}

int command_tcp(int count, char **arguments) {
  if (count != 2) return 2;
  int fd = connect_to(arguments[0], atoi(arguments[1]));
  if (fd < 0) return 1;
  printf("connected\n");
  return 0;
}

// Prints the body of http://host[:port]/path; exit code 0 for status 200.
int command_get(int count, char **arguments) {
  if (count != 1) return 2;
  char host[NAME_MAX_LENGTH];
  int port = 80;
  const char *rest = arguments[0];
  if (strncmp(rest, "http://", 7) == 0) rest += 7;
  size_t length = strcspn(rest, ":/");
  if (length == 0 || length >= sizeof host) return 2;
  memcpy(host, rest, length);
  host[length] = '\0';
  if (rest[length] == ':') port = atoi(rest + length + 1);
  const char *path = strchr(rest, '/');
  int fd = connect_to(host, port);
  if (fd < 0) return 1;
  dprintf(fd, "GET %s HTTP/1.0\r\nHost: %s\r\n\r\n", path == NULL ? "/" : path, host);
  static char answer[65536];
  size_t have = 0;
  ssize_t got;
  while (have < sizeof answer - 1 && (got = read_in_time(fd, answer + have, sizeof answer - 1 - have)) > 0) have += (size_t)got;
  answer[have] = '\0';
  const char *body = strstr(answer, "\r\n\r\n");
  if (body == NULL) return 1;
  printf("%s", body + 4);
  return strncmp(answer + 8, " 200", 4) == 0 ? 0 : 1;
}

int command_udp(int count, char **arguments) {
  if (count != 3) return 2;
  char text[64];
  struct sockaddr_storage address;
  if (!lookup(arguments[0], text, sizeof text)) return 1;
  int length = make_address(text, atoi(arguments[1]), &address);
  int fd = socket(address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (connect(fd, (struct sockaddr *)&address, (socklen_t)length) < 0 || write(fd, arguments[2], strlen(arguments[2])) < 0) {
    perror("send");
    return 1;
  }
  char answer[2048];
  ssize_t got = read_in_time(fd, answer, sizeof answer - 1);
  if (got < 0) {
    perror("no answer");
    return 1;
  }
  answer[got] = '\0';
  printf("%s\n", answer);
  return 0;
}

// --- servers --------------------------------------------------------------------------------------------------------

static int bind_port(int type, int port) {
  int fd = socket(AF_INET6, type | SOCK_CLOEXEC, 0);
  int yes = 1;
  int no = 0;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
  struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
  if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) {
    perror("bind");
    return -1;
  }
  return fd;
}

// HTTP: every request is answered with the text; /hostname with the host name, /client with the address it came from.
static void answer_request(int fd, const char *text, const struct sockaddr_in6 *client) {
  char request[4096];
  ssize_t got = read_in_time(fd, request, sizeof request - 1);
  if (got <= 0) return;
  request[got] = '\0';
  char body[1024];
  snprintf(body, sizeof body, "%s", text);
  if (strncmp(request, "GET /hostname ", 14) == 0) gethostname(body, sizeof body);
  if (strncmp(request, "GET /client ", 12) == 0) inet_ntop(AF_INET6, &client->sin6_addr, body, sizeof body);
  dprintf(fd, "HTTP/1.0 200 OK\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s", strlen(body), body);
}

int command_serve(int count, char **arguments) {
  if (count != 2) return 2;
  int listener = bind_port(SOCK_STREAM, atoi(arguments[0]));
  if (listener < 0 || listen(listener, 64) < 0) return 1;
  printf("listening\n");
  fflush(stdout);
  for (;;) {
    struct sockaddr_in6 client;
    socklen_t length = sizeof client;
    int fd = accept4(listener, (struct sockaddr *)&client, &length, SOCK_CLOEXEC);
    if (fd < 0) continue;
    answer_request(fd, arguments[1], &client);
    close(fd);
  }
}

int command_udp_serve(int count, char **arguments) {
  if (count != 2) return 2;
  int fd = bind_port(SOCK_DGRAM, atoi(arguments[0]));
  if (fd < 0) return 1;
  printf("listening\n");
  fflush(stdout);
  for (;;) {
    char request[2048];
    struct sockaddr_in6 client;
    socklen_t length = sizeof client;
    if (recvfrom(fd, request, sizeof request, 0, (struct sockaddr *)&client, &length) < 0) continue;
    sendto(fd, arguments[1], strlen(arguments[1]), 0, (struct sockaddr *)&client, length);
  }
}
