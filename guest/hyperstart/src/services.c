#include "services.h"

#include <errno.h>
#include <string.h>

#include "ipvs.h"
#include "log.h"
#include "memory.h"
#include "network.h"

#define PORT_MAX 65535u
#define SERVICES_MAX 65536u
#define BUCKETS 1024u

// What the kernel has, as far as we told it.
struct service {
  struct service *next;
  struct ipvs_service content;
  struct ipvs_server *servers;
  size_t server_count;
  bool is_kept; // during a full update
};

static struct service *buckets[BUCKETS];
static size_t service_count;
static uint64_t generation;

uint64_t services_generation(void) {
  return generation;
}

// --- table ----------------------------------------------------------------------------------------------------------

static bool same_key(const struct ipvs_service *one, const struct ipvs_service *other) {
  return one->port == other->port && one->protocol == other->protocol && address_equals(&one->address, &other->address);
}

static struct service **bucket_of(const struct ipvs_service *key) {
  uint32_t hash = (uint32_t)key->port * 31u + key->protocol;
  for (size_t index = 0; index < sizeof key->address.bytes; index++) hash = hash * 31u + key->address.bytes[index];
  return &buckets[hash % BUCKETS];
}

static struct service *service_find(const struct ipvs_service *key) {
  for (struct service *service = *bucket_of(key); service != NULL; service = service->next) {
    if (same_key(&service->content, key)) return service;
  }
  return NULL;
}

static void service_forget(struct service *service) {
  for (struct service **at = bucket_of(&service->content); *at != NULL; at = &(*at)->next) {
    if (*at != service) continue;
    *at = service->next;
    break;
  }
  service_count--;
  free(service->servers);
  free(service);
}

// --- addresses ------------------------------------------------------------------------------------------------------

static bool address_is_used(const struct address *address) {
  for (size_t index = 0; index < BUCKETS; index++) {
    for (const struct service *service = buckets[index]; service != NULL; service = service->next) {
      if (address_equals(&service->content.address, address)) return true;
    }
  }
  return false;
}

void services_renew_addresses(void) {
  for (size_t index = 0; index < BUCKETS; index++) {
    for (const struct service *service = buckets[index]; service != NULL; service = service->next) {
      if (network_set_service_address(&service->content.address, true) < 0) log_line("service address: %s", strerror(errno));
    }
  }
}

// --- requests as values ---------------------------------------------------------------------------------------------

static int parse_key(const Hyperstart__V1__VirtualServiceKey *text, struct ipvs_service *key, struct error *error) {
  *key = (struct ipvs_service){0};
  if (text == NULL || !address_parse(text->address, &key->address) || text->port == 0 || text->port > PORT_MAX ||
      text->protocol == HYPERSTART__V1__VIRTUAL_SERVICE_KEY__PROTOCOL__PROTOCOL_UNSPECIFIED) {
    return error_set(error, CODE_INVALID, "virtual service '%.64s' port %u protocol %d", text == NULL ? "" : text->address,
                     text == NULL ? 0 : text->port, text == NULL ? 0 : (int)text->protocol);
  }
  key->port = (uint16_t)text->port;
  key->protocol = (uint16_t)text->protocol;
  return 0;
}

static int parse_server(const Hyperstart__V1__RealServer *text, const struct ipvs_service *service, struct ipvs_server *server,
                        struct error *error) {
  *server = (struct ipvs_server){.port = (uint16_t)text->port, .weight = text->weight};
  if (address_parse(text->address, &server->address) && server->address.family == service->address.family && text->port != 0 &&
      text->port <= PORT_MAX && text->weight <= PORT_MAX) {
    return 0;
  }
  return error_set(error, CODE_INVALID, "real server '%.64s' port %u weight %u", text->address, text->port, text->weight);
}

// --- changes --------------------------------------------------------------------------------------------------------

static bool same_server(const struct ipvs_server *one, const struct ipvs_server *other) {
  return one->port == other->port && address_equals(&one->address, &other->address);
}

static struct ipvs_server *server_find(const struct service *service, const struct ipvs_server *wanted) {
  for (size_t index = 0; index < service->server_count; index++) {
    if (same_server(&service->servers[index], wanted)) return &service->servers[index];
  }
  return NULL;
}

static int upsert_server(struct service *service, const struct ipvs_server *wanted) {
  struct ipvs_server *present = server_find(service, wanted);
  if (present == NULL) {
    if (ipvs_add_server(&service->content, wanted) < 0 && (errno != EEXIST || ipvs_set_server(&service->content, wanted) < 0))
      return -1;
    service->servers = memory_resize(service->servers, (service->server_count + 1) * sizeof *service->servers);
    service->servers[service->server_count++] = *wanted;
    return 0;
  }
  if (present->weight == wanted->weight) return 0;
  if (ipvs_set_server(&service->content, wanted) < 0) return -1;
  present->weight = wanted->weight;
  return 0;
}

static int remove_others(struct service *service, const struct ipvs_server *wanted, size_t count) {
  for (size_t index = service->server_count; index > 0; index--) {
    struct ipvs_server *present = &service->servers[index - 1];
    bool keep = false;
    for (size_t at = 0; at < count && !keep; at++) keep = same_server(present, &wanted[at]);
    if (keep) continue;
    if (ipvs_remove_server(&service->content, present) < 0 && errno != ENOENT) return -1;
    *present = service->servers[--service->server_count];
  }
  return 0;
}

static struct service *upsert_service(const struct ipvs_service *wanted, struct error *error) {
  struct service *service = service_find(wanted);
  if (service != NULL && service->content.affinity_s == wanted->affinity_s) return service;
  if (service == NULL && network_set_service_address(&wanted->address, true) < 0) {
    error_errno(error, "make the address of a virtual service local");
    return NULL;
  }
  int result = service != NULL ? ipvs_set_service(wanted) : ipvs_add_service(wanted);
  if (result < 0 && service == NULL && errno == EEXIST) result = ipvs_set_service(wanted);
  if (result < 0) {
    error_errno(error, "program a virtual service");
    return NULL;
  }
  if (service == NULL) {
    service = memory_alloc(sizeof *service);
    struct service **bucket = bucket_of(wanted);
    service->next = *bucket;
    *bucket = service;
    service_count++;
  }
  service->content = *wanted;
  return service;
}

static int apply_upsert(const Hyperstart__V1__VirtualService *request, struct error *error) {
  struct ipvs_service wanted;
  if (parse_key(request->key, &wanted, error) < 0) return -1;
  wanted.affinity_s = request->affinity_timeout_s;
  cleanup_free struct ipvs_server *servers = memory_alloc(request->n_servers * sizeof *servers);
  for (size_t index = 0; index < request->n_servers; index++) {
    if (parse_server(request->servers[index], &wanted, &servers[index], error) < 0) return -1;
  }
  struct service *service = upsert_service(&wanted, error);
  if (service == NULL) return -1;
  service->is_kept = true;
  for (size_t index = 0; index < request->n_servers; index++) {
    if (upsert_server(service, &servers[index]) < 0) return error_errno(error, "add a server to %s", request->key->address);
  }
  if (remove_others(service, servers, request->n_servers) < 0)
    return error_errno(error, "remove a server of %s", request->key->address);
  return 0;
}

static int remove_service(struct service *service, struct error *error) {
  if (ipvs_remove_service(&service->content) < 0 && errno != ESRCH && errno != ENOENT) {
    return error_errno(error, "remove a virtual service");
  }
  struct address address = service->content.address;
  service_forget(service);
  if (!address_is_used(&address) && network_set_service_address(&address, false) < 0) {
    return error_errno(error, "release the address of a virtual service");
  }
  return 0;
}

static int apply_removal(const Hyperstart__V1__VirtualServiceKey *request, struct error *error) {
  struct ipvs_service key;
  if (parse_key(request, &key, error) < 0) return -1;
  struct service *service = service_find(&key);
  return service == NULL ? 0 : remove_service(service, error);
}

// Calls visit for each service, which may be removed by that.
static int each_service(int (*visit)(struct service *service, struct error *error), struct error *error) {
  for (size_t index = 0; index < BUCKETS; index++) {
    for (struct service *service = buckets[index]; service != NULL;) {
      struct service *next = service->next;
      if (visit(service, error) < 0) return -1;
      service = next;
    }
  }
  return 0;
}

static int unmark(struct service *service, struct error *error) {
  (void)error;
  service->is_kept = false;
  return 0;
}

static int remove_unmarked(struct service *service, struct error *error) {
  return service->is_kept ? 0 : remove_service(service, error);
}

int services_update(const Hyperstart__V1__UpdateServices *request, struct error *error) {
  if (!request->full) {
    if (request->generation != 0 && request->generation == generation) return 0; // the same update once more
    if (request->base_generation != generation) {
      return error_set(error, CODE_PRECONDITION, "the service table is of generation %llu, not %llu",
                       (unsigned long long)generation, (unsigned long long)request->base_generation);
    }
  }
  if (service_count + request->n_upserts > SERVICES_MAX)
    return error_set(error, CODE_EXHAUSTED, "more than %u services", SERVICES_MAX);
  each_service(unmark, error);
  for (size_t index = 0; index < request->n_upserts; index++) {
    if (apply_upsert(request->upserts[index], error) < 0) return -1;
  }
  for (size_t index = 0; index < request->n_removals; index++) {
    if (apply_removal(request->removals[index], error) < 0) return -1;
  }
  if (request->full && each_service(remove_unmarked, error) < 0) return -1;
  generation = request->generation;
  return 0;
}
