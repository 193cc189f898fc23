// IP addresses and MACs as text.
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct address {
  int family; // AF_INET, AF_INET6
  uint8_t bytes[16];
  unsigned prefix; // 32 or 128 without "/n"
};

bool address_parse(const char *text, struct address *address); // "10.0.0.1", "10.0.0.0/8", "fd00::1/64"
size_t address_size(const struct address *address);            // 4 or 16
bool address_equals(const struct address *one, const struct address *other);
// Returns the length of the address.
socklen_t address_to_socket(const struct address *address, uint16_t port, struct sockaddr_storage *result);
bool mac_parse(const char *text, uint8_t mac[6]);
