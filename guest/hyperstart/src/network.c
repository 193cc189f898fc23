#include "network.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "address.h"
#include "file.h"
#include "memory.h"
#include "netlink.h"

#define DEVICES_MAX 32u
#define MTU_MIN 68u
#define ADDRESSES_MAX 256u
#define ROUTES_MAX 256u

// --- devices --------------------------------------------------------------------------------------------------------

struct device {
  unsigned number; // of virtio<number>: the order in which the machine has them
  char name[IF_NAMESIZE];
};

static bool device_number(const char *name, unsigned *number) {
  cleanup_free char *path = memory_format("/sys/class/net/%s/device", name);
  char target[PATH_MAX];
  ssize_t length = readlink(path, target, sizeof target - 1);
  if (length < 0) return false;
  target[length] = '\0';
  const char *last = strrchr(target, '/');
  return last != NULL && sscanf(last, "/virtio%u", number) == 1;
}

static size_t find_devices(struct device devices[DEVICES_MAX]) {
  DIR *folder = opendir("/sys/class/net");
  if (folder == NULL) return 0;
  size_t count = 0;
  struct dirent *entry;
  while (count < DEVICES_MAX && (entry = readdir(folder)) != NULL) {
    struct device device;
    if (entry->d_name[0] == '.' || strlen(entry->d_name) >= sizeof device.name) continue;
    if (!device_number(entry->d_name, &device.number)) continue;
    strcpy(device.name, entry->d_name);
    size_t at = count++;
    for (; at > 0 && devices[at - 1].number > device.number; at--) devices[at] = devices[at - 1];
    devices[at] = device;
  }
  closedir(folder);
  return count;
}

static int link_set(int index, bool up, const Hyperstart__V1__Interface *wanted, const uint8_t *mac, const char *name) {
  struct netlink_message message;
  struct ifinfomsg *info = netlink_begin(&message, RTM_NEWLINK, 0, sizeof *info);
  info->ifi_index = index;
  info->ifi_change = IFF_UP;
  info->ifi_flags = up ? IFF_UP : 0;
  if (mac != NULL) netlink_put(&message, IFLA_ADDRESS, mac, 6);
  if (name != NULL) netlink_put_string(&message, IFLA_IFNAME, name);
  if (wanted != NULL && wanted->mtu >= MTU_MIN) netlink_put_u32(&message, IFLA_MTU, wanted->mtu);
  return netlink_request(NETLINK_ROUTE, &message, NULL, NULL);
}

static bool has_mac(const char *name, const char *mac) {
  cleanup_free char *path = memory_format("/sys/class/net/%s/address", name);
  cleanup_free char *text = file_read(path, 64);
  return text != NULL && strncasecmp(text, mac, strlen(mac)) == 0;
}

// Name, MAC, MTU, up. A device that is up loses its routes by going down, so that happens only when it must.
static int apply_link(const Hyperstart__V1__Interface *wanted, const char *present, struct error *error) {
  uint8_t mac[6];
  if (!mac_parse(wanted->mac, mac)) return error_set(error, CODE_INVALID, "interface %s: MAC '%.32s'", wanted->name, wanted->mac);
  int index = (int)if_nametoindex(present);
  bool rename = strcmp(present, wanted->name) != 0;
  bool change_mac = !has_mac(present, wanted->mac);
  if ((rename || change_mac) && link_set(index, false, NULL, NULL, NULL) < 0) return error_errno(error, "take %s down", present);
  if (link_set(index, true, wanted, change_mac ? mac : NULL, rename ? wanted->name : NULL) < 0) {
    return error_errno(error, "set up interface %s", wanted->name);
  }
  return index;
}

// --- addresses ------------------------------------------------------------------------------------------------------

struct address_list {
  int index;
  size_t count;
  struct address entries[ADDRESSES_MAX];
};

static void collect_address(const struct nlmsghdr *message, void *context) {
  struct address_list *list = context;
  const struct ifaddrmsg *info = NLMSG_DATA(message);
  if (message->nlmsg_type != RTM_NEWADDR || (int)info->ifa_index != list->index || list->count >= ADDRESSES_MAX) return;
  if (info->ifa_scope == RT_SCOPE_LINK) return; // the link-local one is the kernel's
  size_t length = message->nlmsg_len - NLMSG_LENGTH(sizeof *info);
  const void *attributes = (const char *)info + NLMSG_ALIGN(sizeof *info);
  const struct nlattr *value = netlink_find(attributes, length, info->ifa_family == AF_INET ? IFA_LOCAL : IFA_ADDRESS);
  struct address *address = &list->entries[list->count];
  *address = (struct address){.family = info->ifa_family, .prefix = info->ifa_prefixlen};
  if (value == NULL || netlink_length(value) != address_size(address)) return;
  memcpy(address->bytes, netlink_data(value), address_size(address));
  list->count++;
}

static int change_address(uint16_t type, uint16_t flags, int index, const struct address *address) {
  struct netlink_message message;
  struct ifaddrmsg *info = netlink_begin(&message, type, flags, sizeof *info);
  info->ifa_family = (uint8_t)address->family;
  info->ifa_prefixlen = (uint8_t)address->prefix;
  info->ifa_index = (uint32_t)index;
  info->ifa_flags = IFA_F_PERMANENT | (address->family == AF_INET6 ? IFA_F_NODAD : 0);
  netlink_put(&message, IFA_LOCAL, address->bytes, address_size(address));
  netlink_put(&message, IFA_ADDRESS, address->bytes, address_size(address));
  return netlink_request(NETLINK_ROUTE, &message, NULL, NULL);
}

static bool is_wanted(const struct address *address, const struct address *wanted, size_t count) {
  for (size_t index = 0; index < count; index++) {
    if (address_equals(address, &wanted[index])) return true;
  }
  return false;
}

static int apply_addresses(int index, const Hyperstart__V1__Interface *interface, struct error *error) {
  cleanup_free struct address *wanted = memory_alloc(interface->n_addresses * sizeof *wanted);
  for (size_t at = 0; at < interface->n_addresses; at++) {
    if (address_parse(interface->addresses[at], &wanted[at])) continue;
    return error_set(error, CODE_INVALID, "interface %s: address '%.64s'", interface->name, interface->addresses[at]);
  }
  cleanup_free struct address_list *present = memory_alloc(sizeof *present);
  present->index = index;
  struct netlink_message message;
  netlink_begin(&message, RTM_GETADDR, NLM_F_DUMP, sizeof(struct ifaddrmsg));
  if (netlink_request(NETLINK_ROUTE, &message, collect_address, present) < 0) return error_errno(error, "list addresses");
  for (size_t at = 0; at < interface->n_addresses; at++) {
    if (change_address(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, index, &wanted[at]) < 0) {
      return error_errno(error, "give %s to interface %s", interface->addresses[at], interface->name);
    }
  }
  for (size_t at = 0; at < present->count; at++) {
    if (!is_wanted(&present->entries[at], wanted, interface->n_addresses)) {
      change_address(RTM_DELADDR, 0, index, &present->entries[at]);
    }
  }
  return 0;
}

static int apply_interface(const Hyperstart__V1__Interface *wanted, const struct device *devices, size_t count,
                           struct error *error) {
  if (wanted->index >= count) {
    return error_set(error, CODE_NOT_FOUND, "interface %s: this machine has %zu network devices, not one of index %u",
                     wanted->name, count, wanted->index);
  }
  if (*wanted->name == '\0' || strlen(wanted->name) >= IF_NAMESIZE || strpbrk(wanted->name, "/ ") != NULL) {
    return error_set(error, CODE_INVALID, "interface name '%.32s'", wanted->name);
  }
  int index = apply_link(wanted, devices[wanted->index].name, error);
  return index < 0 ? -1 : apply_addresses(index, wanted, error);
}

// --- routes ---------------------------------------------------------------------------------------------------------

struct route {
  struct address destination;
  struct address gateway; // family 0: none
  uint32_t interface;
};

static int change_route(uint16_t type, uint16_t flags, const struct route *route) {
  struct netlink_message message;
  struct rtmsg *info = netlink_begin(&message, type, flags, sizeof *info);
  info->rtm_family = (uint8_t)route->destination.family;
  info->rtm_dst_len = (uint8_t)route->destination.prefix;
  info->rtm_table = RT_TABLE_MAIN;
  info->rtm_protocol = RTPROT_STATIC;
  info->rtm_type = RTN_UNICAST;
  info->rtm_scope = route->gateway.family == 0 && route->destination.family == AF_INET ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
  if (route->destination.prefix > 0) {
    netlink_put(&message, RTA_DST, route->destination.bytes, address_size(&route->destination));
  }
  if (route->gateway.family != 0) netlink_put(&message, RTA_GATEWAY, route->gateway.bytes, address_size(&route->gateway));
  netlink_put_u32(&message, RTA_OIF, route->interface);
  return netlink_request(NETLINK_ROUTE, &message, NULL, NULL);
}

struct route_list {
  size_t count;
  struct route entries[ROUTES_MAX];
};

static void collect_route(const struct nlmsghdr *message, void *context) {
  struct route_list *list = context;
  const struct rtmsg *info = NLMSG_DATA(message);
  // Ours are those of protocol static; the kernel's own follow the addresses.
  if (message->nlmsg_type != RTM_NEWROUTE || info->rtm_protocol != RTPROT_STATIC || list->count >= ROUTES_MAX) return;
  size_t length = message->nlmsg_len - NLMSG_LENGTH(sizeof *info);
  const void *attributes = (const char *)info + NLMSG_ALIGN(sizeof *info);
  const struct nlattr *destination = netlink_find(attributes, length, RTA_DST);
  const struct nlattr *gateway = netlink_find(attributes, length, RTA_GATEWAY);
  const struct nlattr *interface = netlink_find(attributes, length, RTA_OIF);
  struct route *route = &list->entries[list->count];
  *route = (struct route){.destination = {.family = info->rtm_family, .prefix = info->rtm_dst_len}};
  size_t size = address_size(&route->destination);
  if (destination != NULL && netlink_length(destination) == size)
    memcpy(route->destination.bytes, netlink_data(destination), size);
  if (gateway != NULL && netlink_length(gateway) == size) {
    route->gateway = (struct address){.family = info->rtm_family, .prefix = (unsigned)size * 8};
    memcpy(route->gateway.bytes, netlink_data(gateway), size);
  }
  if (interface != NULL && netlink_length(interface) == 4) memcpy(&route->interface, netlink_data(interface), 4);
  list->count++;
}

static int parse_route(const Hyperstart__V1__Route *text, struct route *route, struct error *error) {
  *route = (struct route){0};
  if (!address_parse(text->destination, &route->destination)) {
    return error_set(error, CODE_INVALID, "route to '%.64s'", text->destination);
  }
  if (*text->gateway != '\0' &&
      (!address_parse(text->gateway, &route->gateway) || route->gateway.family != route->destination.family)) {
    return error_set(error, CODE_INVALID, "route to %s: gateway '%.64s'", text->destination, text->gateway);
  }
  route->interface = if_nametoindex(text->interface);
  if (route->interface != 0) return 0;
  return error_set(error, CODE_NOT_FOUND, "route to %s: there is no interface '%.32s'", text->destination, text->interface);
}

static bool route_is_wanted(const struct route *route, const struct route *wanted, size_t count) {
  for (size_t index = 0; index < count; index++) {
    if (address_equals(&route->destination, &wanted[index].destination) && route->interface == wanted[index].interface)
      return true;
  }
  return false;
}

static int apply_routes(Hyperstart__V1__Route *const *routes, size_t count, struct error *error) {
  cleanup_free struct route *wanted = memory_alloc(count * sizeof *wanted);
  // A gateway must be reachable: routes on the link come first.
  for (int pass = 0; pass < 2; pass++) {
    for (size_t index = 0; index < count; index++) {
      if (parse_route(routes[index], &wanted[index], error) < 0) return -1;
      if ((wanted[index].gateway.family != 0) != (pass == 1)) continue;
      if (change_route(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &wanted[index]) < 0) {
        return error_errno(error, "route to %s by '%s'", routes[index]->destination, routes[index]->gateway);
      }
    }
  }
  cleanup_free struct route_list *present = memory_alloc(sizeof *present);
  struct netlink_message message;
  netlink_begin(&message, RTM_GETROUTE, NLM_F_DUMP, sizeof(struct rtmsg));
  if (netlink_request(NETLINK_ROUTE, &message, collect_route, present) < 0) return error_errno(error, "list routes");
  for (size_t index = 0; index < present->count; index++) {
    if (!route_is_wanted(&present->entries[index], wanted, count)) change_route(RTM_DELROUTE, 0, &present->entries[index]);
  }
  return 0;
}

// --- addresses of services ------------------------------------------------------------------------------------------

// The pod's first address of each family, source of connections to services. family 0: none.
static struct address primary_ipv4;
static struct address primary_ipv6;

static void note_primary(Hyperstart__V1__Interface *const *interfaces, size_t count) {
  primary_ipv4 = primary_ipv6 = (struct address){0};
  for (size_t index = count; index > 0; index--) {
    for (size_t at = interfaces[index - 1]->n_addresses; at > 0; at--) {
      struct address address;
      if (!address_parse(interfaces[index - 1]->addresses[at - 1], &address)) continue;
      *(address.family == AF_INET ? &primary_ipv4 : &primary_ipv6) = address;
    }
  }
}

int network_set_service_address(const struct address *address, bool present) {
  const struct address *source = address->family == AF_INET ? &primary_ipv4 : &primary_ipv6;
  struct netlink_message message;
  uint16_t flags = present ? NLM_F_CREATE | NLM_F_REPLACE : 0;
  struct rtmsg *info = netlink_begin(&message, present ? RTM_NEWROUTE : RTM_DELROUTE, flags, sizeof *info);
  info->rtm_family = (uint8_t)address->family;
  info->rtm_dst_len = (uint8_t)(address_size(address) * 8);
  info->rtm_table = RT_TABLE_LOCAL;
  info->rtm_protocol = RTPROT_BOOT; // not RTPROT_STATIC: those are the pod's own routes
  info->rtm_type = RTN_LOCAL;
  info->rtm_scope = RT_SCOPE_HOST;
  netlink_put(&message, RTA_DST, address->bytes, address_size(address));
  netlink_put_u32(&message, RTA_OIF, if_nametoindex("lo"));
  if (present && source->family != 0) netlink_put(&message, RTA_PREFSRC, source->bytes, address_size(source));
  if (netlink_request(NETLINK_ROUTE, &message, NULL, NULL) == 0) return 0;
  return !present && errno == ESRCH ? 0 : -1;
}

// --- all ------------------------------------------------------------------------------------------------------------

int network_apply(Hyperstart__V1__Interface *const *interfaces, size_t interface_count, Hyperstart__V1__Route *const *routes,
                  size_t route_count, struct error *error) {
  struct device devices[DEVICES_MAX];
  size_t count = find_devices(devices);
  if (link_set((int)if_nametoindex("lo"), true, NULL, NULL, NULL) < 0) return error_errno(error, "set up lo");
  for (size_t index = 0; index < interface_count; index++) {
    if (apply_interface(interfaces[index], devices, count, error) < 0) return -1;
  }
  note_primary(interfaces, interface_count);
  return apply_routes(routes, route_count, error);
}

// --- counters -------------------------------------------------------------------------------------------------------

static uint64_t counter(const char *name, const char *file) {
  cleanup_free char *path = memory_format("/sys/class/net/%s/statistics/%s", name, file);
  return file_read_number(path, 0);
}

Hyperstart__V1__InterfaceStats **network_stats(size_t *count) {
  struct device devices[DEVICES_MAX];
  *count = find_devices(devices);
  Hyperstart__V1__InterfaceStats **all = memory_alloc(*count * sizeof *all);
  for (size_t index = 0; index < *count; index++) {
    const char *name = devices[index].name;
    Hyperstart__V1__InterfaceStats *stats = memory_alloc(sizeof *stats);
    hyperstart__v1__interface_stats__init(stats);
    stats->name = memory_copy_string(name);
    stats->rx_bytes = counter(name, "rx_bytes");
    stats->rx_errors = counter(name, "rx_errors");
    stats->rx_packets = counter(name, "rx_packets");
    stats->tx_bytes = counter(name, "tx_bytes");
    stats->tx_errors = counter(name, "tx_errors");
    stats->tx_packets = counter(name, "tx_packets");
    all[index] = stats;
  }
  return all;
}
