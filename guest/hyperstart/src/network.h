// Interfaces, addresses and routes of the pod, over rtnetlink.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "address.h"
#include "error.h"

// Makes the machine's virtio-net devices as described: what is missing is added, what is not described is removed, what is right
// stays.
int network_apply(Hyperstart__V1__Interface *const *interfaces, size_t interface_count, Hyperstart__V1__Route *const *routes,
                  size_t route_count, struct error *error);
// Makes a service address one of this machine's own (a route of type local that prefers the pod's address as source), or ends
// that. IPVS keeps the route it finds when it sends a connection to a server in this very pod, so that route must lead back here.
int network_set_service_address(const struct address *address, bool present);
// Counters of all interfaces but lo. Array and entries are allocated, as for free_unpacked.
Hyperstart__V1__InterfaceStats **network_stats(size_t *count);
