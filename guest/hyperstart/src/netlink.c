#include "netlink.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "memory.h"

#define RECEIVE_SIZE 32768u
#define ALIGNED(length) (((length) + 3u) & ~(size_t)3u)

void *netlink_begin(struct netlink_message *message, uint16_t type, uint16_t flags, size_t fixed_size) {
  memset(message, 0, sizeof *message);
  message->header.nlmsg_type = type;
  message->header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
  message->header.nlmsg_len = (uint32_t)(NLMSG_HDRLEN + ALIGNED(fixed_size));
  return message->bytes + NLMSG_HDRLEN;
}

// Room for an attribute. What does not fit is a fault of this program: no request of the host reaches the size of the buffer.
static struct nlattr *add_attribute(struct netlink_message *message, uint16_t type, size_t length) {
  size_t at = message->header.nlmsg_len;
  size_t size = NLA_HDRLEN + length;
  if (at + ALIGNED(size) > sizeof message->bytes) abort();
  struct nlattr *attribute = (void *)(message->bytes + at);
  attribute->nla_type = type;
  attribute->nla_len = (uint16_t)size;
  message->header.nlmsg_len = (uint32_t)(at + ALIGNED(size));
  return attribute;
}

void netlink_put(struct netlink_message *message, uint16_t attribute, const void *data, size_t length) {
  memcpy((char *)add_attribute(message, attribute, length) + NLA_HDRLEN, data, length);
}

void netlink_put_u32(struct netlink_message *message, uint16_t attribute, uint32_t value) {
  netlink_put(message, attribute, &value, sizeof value);
}

void netlink_put_u16(struct netlink_message *message, uint16_t attribute, uint16_t value) {
  netlink_put(message, attribute, &value, sizeof value);
}

void netlink_put_string(struct netlink_message *message, uint16_t attribute, const char *text) {
  netlink_put(message, attribute, text, strlen(text) + 1);
}

struct nlattr *netlink_nest_begin(struct netlink_message *message, uint16_t attribute) {
  return add_attribute(message, attribute | NLA_F_NESTED, 0);
}

void netlink_nest_end(struct netlink_message *message, struct nlattr *nest) {
  nest->nla_len = (uint16_t)(message->bytes + message->header.nlmsg_len - (uint8_t *)nest);
}

// Walks one datagram. 1: there is more to come, 0: done, -1: the kernel's error in errno.
static int handle(const uint8_t *data, size_t length, netlink_visit *visit, void *context) {
  while (length >= sizeof(struct nlmsghdr)) {
    const struct nlmsghdr *message = (const void *)data;
    if (message->nlmsg_len < sizeof *message || message->nlmsg_len > length) break;
    if (message->nlmsg_type == NLMSG_DONE) return 0;
    if (message->nlmsg_type == NLMSG_ERROR) {
      const struct nlmsgerr *error = (const void *)(data + NLMSG_HDRLEN);
      errno = -error->error;
      return error->error == 0 ? 0 : -1;
    }
    if (visit != NULL) visit(message, context);
    size_t step = ALIGNED(message->nlmsg_len);
    if (step >= length) break;
    data += step;
    length -= step;
  }
  return 1;
}

static int receive_all(int fd, netlink_visit *visit, void *context) {
  cleanup_free uint8_t *buffer = memory_alloc(RECEIVE_SIZE);
  for (;;) {
    ssize_t got = recv(fd, buffer, RECEIVE_SIZE, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return -1;
    int state = handle(buffer, (size_t)got, visit, context);
    if (state <= 0) return state;
  }
}

// One socket per protocol for good: a table of many services is thousands of requests.
static int socket_of(int protocol) {
  static int sockets[MAX_LINKS];
  if (sockets[protocol] == 0) {
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
    if (fd < 0) return -1;
    sockets[protocol] = fd;
  }
  return sockets[protocol];
}

int netlink_request(int protocol, struct netlink_message *message, netlink_visit *visit, void *context) {
  int fd = socket_of(protocol);
  if (fd < 0) return -1;
  struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
  if (sendto(fd, message->bytes, message->header.nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof kernel) < 0) return -1;
  return receive_all(fd, visit, context);
}

const struct nlattr *netlink_find(const void *attributes, size_t length, uint16_t attribute) {
  const uint8_t *at = attributes;
  while (length >= sizeof(struct nlattr)) {
    const struct nlattr *found = (const void *)at;
    if (found->nla_len < sizeof *found || found->nla_len > length) return NULL;
    if ((found->nla_type & NLA_TYPE_MASK) == attribute) return found;
    size_t step = ALIGNED(found->nla_len);
    if (step >= length) return NULL;
    at += step;
    length -= step;
  }
  return NULL;
}
