// Commands of the kernel's IPVS family of generic netlink. Each returns 0, or -1 with errno.
#pragma once

#include <stdint.h>

#include "address.h"

struct ipvs_service {
  struct address address;
  uint16_t port;
  uint16_t protocol;
  uint32_t affinity_s;
};

struct ipvs_server {
  struct address address;
  uint16_t port;
  uint32_t weight;
};

int ipvs_flush(void);
int ipvs_add_service(const struct ipvs_service *service);
int ipvs_set_service(const struct ipvs_service *service);
int ipvs_remove_service(const struct ipvs_service *service);
int ipvs_add_server(const struct ipvs_service *service, const struct ipvs_server *server);
int ipvs_set_server(const struct ipvs_service *service, const struct ipvs_server *server);
int ipvs_remove_server(const struct ipvs_service *service, const struct ipvs_server *server);
