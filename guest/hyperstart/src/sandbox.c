#include "sandbox.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <unistd.h>

#include "channel.h"
#include "clock.h"
#include "container.h"
#include "file.h"
#include "log.h"
#include "loop.h"
#include "memory.h"
#include "network.h"
#include "path.h"
#include "paths.h"
#include "services.h"
#include "volume.h"
#include "worker.h"

#define ENTROPY_MIN 32u
#define MACHINE_ID_LENGTH 32u
#define SHM_SIZE_DEFAULT (64ull * 1024 * 1024)
#define SHUTDOWN_DEFAULT_MS 10000u
#define SHUTDOWN_POLL_MS 10u
#define WARNINGS_MAX 32u

static struct {
  bool is_configured;
  bool is_configuring;
  bool shares_pid_namespace;
  bool has_scratch;
  Hyperstart__V1__ScsiAddress scratch;
  struct reply reply;
  char *warnings[WARNINGS_MAX];
  size_t warning_count;
  uint64_t shutdown_deadline_ns;
  struct timer shutdown_timer;
} sandbox;

bool sandbox_is_configured(void) {
  return sandbox.is_configured;
}

bool sandbox_shares_pid_namespace(void) {
  return sandbox.shares_pid_namespace;
}

bool sandbox_has_scratch(void) {
  return sandbox.has_scratch;
}

// --- parts of the configuration -------------------------------------------------------------------------------------

static void warn(const char *text) {
  log_line("%s", text);
  if (sandbox.warning_count < WARNINGS_MAX) sandbox.warnings[sandbox.warning_count++] = memory_copy_string(text);
}

static int write_pod_file(const char *name, const char *text, struct error *error) {
  cleanup_free char *path = memory_format(PATH_POD_FILES "/%s", name);
  if (file_replace(path, text, strlen(text), 0644) < 0) return error_errno(error, "write %s", name);
  return 0;
}

static int set_names(const Hyperstart__V1__ConfigureSandbox *request, struct error *error) {
  if (sethostname(request->hostname, strlen(request->hostname)) < 0) return error_errno(error, "set the host name");
  if (*request->domainname != '\0' && setdomainname(request->domainname, strlen(request->domainname)) < 0) {
    return error_errno(error, "set the domain name");
  }
  cleanup_free char *line = memory_format("%s\n", request->hostname);
  return write_pod_file("hostname", line, error);
}

static int set_machine_id(const char *machine_id, struct error *error) {
  if (*machine_id == '\0') return 0;
  if (strlen(machine_id) != MACHINE_ID_LENGTH || strspn(machine_id, "0123456789abcdef") != MACHINE_ID_LENGTH) {
    return error_set(error, CODE_INVALID, "machine id: must be 32 hexadecimal digits");
  }
  cleanup_free char *line = memory_format("%s\n", machine_id);
  if (file_replace("/etc/machine-id", line, strlen(line), 0444) < 0) return error_errno(error, "write the machine id");
  return write_pod_file("machine-id", line, error);
}

static void set_sysctl(const char *name, const char *value) {
  cleanup_free char *path = memory_format("/proc/sys/%s", name);
  // "net.ipv4.x" as sysctl(8) has it; a name with slashes is taken as it is, its dots belong to interfaces.
  if (strchr(name, '/') == NULL) {
    for (char *at = path + strlen("/proc/sys/"); *at != '\0'; at++) {
      if (*at == '.') *at = '/';
    }
  }
  if (path_is_plain_relative(path + 1) && file_write(path, value) == 0) return;
  cleanup_free char *text = memory_format("sysctl %.128s cannot be set: %s", name, strerror(errno));
  warn(text);
}

static int mount_shm(uint64_t size, struct error *error) {
  char options[64];
  snprintf(options, sizeof options, "mode=1777,size=%llu", (unsigned long long)(size != 0 ? size : SHM_SIZE_DEFAULT));
  if (mount("shm", PATH_SHM, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, options) < 0)
    return error_errno(error, "mount the pod's shm");
  return 0;
}

static int set_network_files(const char *resolv_conf, const char *hosts, struct error *error) {
  if (write_pod_file("resolv.conf", resolv_conf, error) < 0) return -1;
  return write_pod_file("hosts", hosts, error);
}

// All that does not wait for a disk. Each part can be done again without harm.
static int configure_now(const Hyperstart__V1__ConfigureSandbox *request, struct error *error) {
  if (request->entropy.len < ENTROPY_MIN) {
    return error_set(error, CODE_INVALID, "%zu bytes of entropy: at least %u are needed", request->entropy.len, ENTROPY_MIN);
  }
  if (entropy_add(request->entropy.data, request->entropy.len, error) < 0) return -1;
  if (request->clock_realtime_ns != 0 && clock_set(request->clock_realtime_ns, error) < 0) return -1;
  if (set_names(request, error) < 0 || set_machine_id(request->machine_id, error) < 0) return -1;
  if (set_network_files(request->resolv_conf, request->hosts, error) < 0) return -1;
  if (network_apply(request->interfaces, request->n_interfaces, request->routes, request->n_routes, error) < 0) return -1;
  for (size_t index = 0; index < request->n_sysctls; index++)
    set_sysctl(request->sysctls[index]->key, request->sysctls[index]->value);
  sandbox.shares_pid_namespace = request->shared_pid_namespace;
  return mount_shm(request->shm_size_bytes, error);
}

// --- configuration --------------------------------------------------------------------------------------------------

static void answer_configured(struct reply reply) {
  Hyperstart__V1__ConfigureSandboxResult result = HYPERSTART__V1__CONFIGURE_SANDBOX_RESULT__INIT;
  result.n_warnings = sandbox.warning_count;
  result.warnings = sandbox.warnings;
  Hyperstart__V1__Response response = HYPERSTART__V1__RESPONSE__INIT;
  response.result_case = HYPERSTART__V1__RESPONSE__RESULT_CONFIGURE_SANDBOX;
  response.configure_sandbox = &result;
  reply_send(reply, &response);
}

static int scratch_work(void *input, struct worker_result *result) {
  const Hyperstart__V1__ScsiAddress *address = input;
  return volume_mount_scratch(address->target, address->lun, &result->error);
}

static void scratch_done(void *owner, const struct worker_result *result) {
  (void)owner;
  sandbox.is_configuring = false;
  if (result->failed) {
    reply_error(sandbox.reply, &result->error);
    return;
  }
  sandbox.has_scratch = true;
  sandbox.is_configured = true;
  answer_configured(sandbox.reply);
}

void sandbox_configure(const Hyperstart__V1__ConfigureSandbox *request, struct reply reply) {
  struct error error;
  if (sandbox.is_configured) {
    answer_configured(reply);
    return;
  }
  sandbox.reply = reply;
  if (sandbox.is_configuring) return;
  if (configure_now(request, &error) < 0) {
    reply_error(reply, &error);
    return;
  }
  if (request->scratch == NULL || request->scratch->address == NULL) {
    sandbox.is_configured = true;
    answer_configured(reply);
    return;
  }
  sandbox.is_configuring = true;
  sandbox.scratch.target = request->scratch->address->target;
  sandbox.scratch.lun = request->scratch->address->lun;
  worker_run(scratch_work, &sandbox.scratch, scratch_done, NULL);
}

int sandbox_configure_network(const Hyperstart__V1__ConfigureNetwork *request, struct error *error) {
  if (set_network_files(request->resolv_conf, request->hosts, error) < 0) return -1;
  if (network_apply(request->interfaces, request->n_interfaces, request->routes, request->n_routes, error) < 0) return -1;
  services_renew_addresses();
  return 0;
}

int sandbox_set_clock(const Hyperstart__V1__SetClock *request, struct error *error) {
  if (request->entropy.len > 0 && entropy_add(request->entropy.data, request->entropy.len, error) < 0) return -1;
  return request->clock_realtime_ns == 0 ? 0 : clock_set(request->clock_realtime_ns, error);
}

// --- end ------------------------------------------------------------------------------------------------------------

static void power_off(void) {
  volume_unmount_all();
  umount2(PATH_SCRATCH, 0);
  sync();
  reboot(RB_POWER_OFF);
  // A microvm has no ACPI power button: a restart ends it as well when QEMU runs with -no-reboot.
  reboot(RB_AUTOBOOT);
}

static void shutdown_tick(struct timer *timer) {
  if (container_any_is_running() && loop_now_ns() < sandbox.shutdown_deadline_ns) {
    container_kill_all();
    loop_timer_start(timer, SHUTDOWN_POLL_MS);
    return;
  }
  channel_flush();
  power_off();
}

void sandbox_shutdown(const Hyperstart__V1__Shutdown *request, struct reply reply) {
  uint32_t timeout = request->timeout_ms != 0 ? request->timeout_ms : SHUTDOWN_DEFAULT_MS;
  if (sandbox.shutdown_deadline_ns == 0) sandbox.shutdown_deadline_ns = loop_now_ns() + timeout * 1000000ull;
  reply_success(reply);
  container_kill_all();
  sandbox.shutdown_timer.fire = shutdown_tick;
  loop_timer_start(&sandbox.shutdown_timer, SHUTDOWN_POLL_MS);
}
