#include "address.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#define TEXT_MAX 64u

size_t address_size(const struct address *address) {
  return address->family == AF_INET ? 4 : 16;
}

bool address_parse(const char *text, struct address *address) {
  char copy[TEXT_MAX];
  if (strlen(text) >= sizeof copy) return false;
  strcpy(copy, text);
  char *slash = strchr(copy, '/');
  if (slash != NULL) *slash = '\0';
  *address = (struct address){.family = strchr(copy, ':') != NULL ? AF_INET6 : AF_INET};
  if (inet_pton(address->family, copy, address->bytes) != 1) return false;
  unsigned prefix_max = (unsigned)address_size(address) * 8;
  address->prefix = prefix_max;
  if (slash == NULL) return true;
  size_t digits = strspn(slash + 1, "0123456789");
  if (digits == 0 || digits > 3 || slash[1 + digits] != '\0') return false;
  address->prefix = (unsigned)strtoul(slash + 1, NULL, 10);
  return address->prefix <= prefix_max;
}

bool address_equals(const struct address *one, const struct address *other) {
  return one->family == other->family && one->prefix == other->prefix && memcmp(one->bytes, other->bytes, address_size(one)) == 0;
}

socklen_t address_to_socket(const struct address *address, uint16_t port, struct sockaddr_storage *result) {
  memset(result, 0, sizeof *result);
  result->ss_family = (sa_family_t)address->family;
  if (address->family == AF_INET) {
    struct sockaddr_in *ipv4 = (struct sockaddr_in *)result;
    ipv4->sin_port = htons(port);
    memcpy(&ipv4->sin_addr, address->bytes, 4);
    return sizeof *ipv4;
  }
  struct sockaddr_in6 *ipv6 = (struct sockaddr_in6 *)result;
  ipv6->sin6_port = htons(port);
  memcpy(&ipv6->sin6_addr, address->bytes, 16);
  return sizeof *ipv6;
}

bool mac_parse(const char *text, uint8_t mac[6]) {
  unsigned parts[6];
  int used = 0;
  int count = sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &parts[0], &parts[1], &parts[2], &parts[3], &parts[4], &parts[5], &used);
  if (count != 6 || text[used] != '\0' || strlen(text) != 17) return false;
  for (int index = 0; index < 6; index++) mac[index] = (uint8_t)parts[index];
  return true;
}
