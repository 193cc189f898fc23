// Netlink requests: built in a fixed buffer, sent, answered, one at a time.
#pragma once

#include <linux/netlink.h>
#include <stddef.h>
#include <stdint.h>

#define NETLINK_MESSAGE_MAX 4096u

struct netlink_message {
  union {
    struct nlmsghdr header;
    uint8_t bytes[NETLINK_MESSAGE_MAX];
  };
};

// A message of a type with a zeroed fixed part, which is returned.
void *netlink_begin(struct netlink_message *message, uint16_t type, uint16_t flags, size_t fixed_size);
void netlink_put(struct netlink_message *message, uint16_t attribute, const void *data, size_t length);
void netlink_put_u32(struct netlink_message *message, uint16_t attribute, uint32_t value);
void netlink_put_u16(struct netlink_message *message, uint16_t attribute, uint16_t value);
void netlink_put_string(struct netlink_message *message, uint16_t attribute, const char *text);
// A nested attribute: everything put between the two calls is inside.
struct nlattr *netlink_nest_begin(struct netlink_message *message, uint16_t attribute);
void netlink_nest_end(struct netlink_message *message, struct nlattr *nest);

// Called for each answer message but the closing one.
typedef void netlink_visit(const struct nlmsghdr *message, void *context);
// Sends and waits for the kernel's answer. 0, or -1 with errno as the kernel says.
int netlink_request(int protocol, struct netlink_message *message, netlink_visit *visit, void *context);
// Finds an attribute among `length` bytes of them; NULL if there is none.
const struct nlattr *netlink_find(const void *attributes, size_t length, uint16_t attribute);
static inline const void *netlink_data(const struct nlattr *attribute) {
  return (const char *)attribute + NLA_HDRLEN;
}
static inline size_t netlink_length(const struct nlattr *attribute) {
  return attribute->nla_len - (size_t)NLA_HDRLEN;
}
