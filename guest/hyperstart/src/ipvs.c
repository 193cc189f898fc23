#include "ipvs.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/genetlink.h>
#include <linux/ip_vs.h>
#include <string.h>

#include "netlink.h"

#define SCHEDULER "rr"
#define IPV6_PREFIX_ALL 128u

static void take_family(const struct nlmsghdr *message, void *context) {
  const char *attributes = (const char *)message + NLMSG_HDRLEN + GENL_HDRLEN;
  size_t length = message->nlmsg_len - NLMSG_HDRLEN - GENL_HDRLEN;
  const struct nlattr *id = netlink_find(attributes, length, CTRL_ATTR_FAMILY_ID);
  if (id != NULL && netlink_length(id) == 2) memcpy(context, netlink_data(id), 2);
}

// The family's number in this kernel, 0 with errno if the module is not there.
static uint16_t family(void) {
  static uint16_t number;
  if (number != 0) return number;
  struct netlink_message message;
  struct genlmsghdr *header = netlink_begin(&message, GENL_ID_CTRL, 0, sizeof *header);
  header->cmd = CTRL_CMD_GETFAMILY;
  header->version = 1;
  netlink_put_string(&message, CTRL_ATTR_FAMILY_NAME, IPVS_GENL_NAME);
  if (netlink_request(NETLINK_GENERIC, &message, take_family, &number) < 0) return 0;
  return number;
}

static int begin(struct netlink_message *message, uint8_t command) {
  uint16_t type = family();
  if (type == 0) return -1;
  struct genlmsghdr *header = netlink_begin(message, type, 0, sizeof *header);
  header->cmd = command;
  header->version = IPVS_GENL_VERSION;
  return 0;
}

static void put_service(struct netlink_message *message, const struct ipvs_service *service, bool whole) {
  struct nlattr *nest = netlink_nest_begin(message, IPVS_CMD_ATTR_SERVICE);
  netlink_put_u16(message, IPVS_SVC_ATTR_AF, (uint16_t)service->address.family);
  netlink_put_u16(message, IPVS_SVC_ATTR_PROTOCOL, service->protocol);
  netlink_put(message, IPVS_SVC_ATTR_ADDR, service->address.bytes, sizeof service->address.bytes);
  netlink_put_u16(message, IPVS_SVC_ATTR_PORT, htons(service->port));
  if (whole) {
    bool sticky = service->affinity_s > 0;
    struct ip_vs_flags flags = {.flags = sticky ? IP_VS_SVC_F_PERSISTENT : 0, .mask = ~0u};
    netlink_put_string(message, IPVS_SVC_ATTR_SCHED_NAME, SCHEDULER);
    netlink_put(message, IPVS_SVC_ATTR_FLAGS, &flags, sizeof flags);
    netlink_put_u32(message, IPVS_SVC_ATTR_TIMEOUT, service->affinity_s);
    netlink_put_u32(message, IPVS_SVC_ATTR_NETMASK, service->address.family == AF_INET ? ~0u : IPV6_PREFIX_ALL);
  }
  netlink_nest_end(message, nest);
}

static void put_server(struct netlink_message *message, const struct ipvs_server *server) {
  struct nlattr *nest = netlink_nest_begin(message, IPVS_CMD_ATTR_DEST);
  netlink_put(message, IPVS_DEST_ATTR_ADDR, server->address.bytes, sizeof server->address.bytes);
  netlink_put_u16(message, IPVS_DEST_ATTR_PORT, htons(server->port));
  netlink_put_u32(message, IPVS_DEST_ATTR_FWD_METHOD, IP_VS_CONN_F_MASQ);
  netlink_put_u32(message, IPVS_DEST_ATTR_WEIGHT, server->weight);
  netlink_put_u32(message, IPVS_DEST_ATTR_U_THRESH, 0);
  netlink_put_u32(message, IPVS_DEST_ATTR_L_THRESH, 0);
  netlink_put_u16(message, IPVS_DEST_ATTR_ADDR_FAMILY, (uint16_t)server->address.family);
  netlink_nest_end(message, nest);
}

static int send_service(uint8_t command, const struct ipvs_service *service, bool whole) {
  struct netlink_message message;
  if (begin(&message, command) < 0) return -1;
  put_service(&message, service, whole);
  return netlink_request(NETLINK_GENERIC, &message, NULL, NULL);
}

static int send_server(uint8_t command, const struct ipvs_service *service, const struct ipvs_server *server) {
  struct netlink_message message;
  if (begin(&message, command) < 0) return -1;
  put_service(&message, service, false);
  put_server(&message, server);
  return netlink_request(NETLINK_GENERIC, &message, NULL, NULL);
}

int ipvs_flush(void) {
  struct netlink_message message;
  if (begin(&message, IPVS_CMD_FLUSH) < 0) return -1;
  return netlink_request(NETLINK_GENERIC, &message, NULL, NULL);
}

int ipvs_add_service(const struct ipvs_service *service) {
  return send_service(IPVS_CMD_NEW_SERVICE, service, true);
}

int ipvs_set_service(const struct ipvs_service *service) {
  return send_service(IPVS_CMD_SET_SERVICE, service, true);
}

int ipvs_remove_service(const struct ipvs_service *service) {
  return send_service(IPVS_CMD_DEL_SERVICE, service, false);
}

int ipvs_add_server(const struct ipvs_service *service, const struct ipvs_server *server) {
  return send_server(IPVS_CMD_NEW_DEST, service, server);
}

int ipvs_set_server(const struct ipvs_service *service, const struct ipvs_server *server) {
  return send_server(IPVS_CMD_SET_DEST, service, server);
}

int ipvs_remove_server(const struct ipvs_service *service, const struct ipvs_server *server) {
  return send_server(IPVS_CMD_DEL_DEST, service, server);
}
