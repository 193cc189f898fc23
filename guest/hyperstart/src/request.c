#include "request.h"

#include "channel.h"
#include "connection.h"
#include "container.h"
#include "fileset.h"
#include "memory.h"
#include "sandbox.h"
#include "services.h"
#include "stats.h"
#include "volume.h"

void reply_send(struct reply reply, Hyperstart__V1__Response *response) {
  if (reply.session == 0 || reply.session != channel_session()) return;
  response->request_id = reply.request_id;
  Hyperstart__V1__GuestMessage message = HYPERSTART__V1__GUEST_MESSAGE__INIT;
  message.kind_case = HYPERSTART__V1__GUEST_MESSAGE__KIND_RESPONSE;
  message.response = response;
  channel_send(&message);
}

void reply_success(struct reply reply) {
  Hyperstart__V1__Response response = HYPERSTART__V1__RESPONSE__INIT;
  reply_send(reply, &response);
}

void reply_error(struct reply reply, const struct error *error) {
  struct error copy = *error;
  Hyperstart__V1__Error content = HYPERSTART__V1__ERROR__INIT;
  content.code = copy.code;
  content.message = copy.message;
  Hyperstart__V1__Response response = HYPERSTART__V1__RESPONSE__INIT;
  response.error = &content;
  reply_send(reply, &response);
}

static void answer(struct reply reply, int result, const struct error *error) {
  if (result < 0) {
    reply_error(reply, error);
  } else {
    reply_success(reply);
  }
}

static void get_state(struct reply reply) {
  Hyperstart__V1__StateResult state = HYPERSTART__V1__STATE_RESULT__INIT;
  cleanup_free char **volumes = NULL;
  cleanup_free char **sets = NULL;
  state.n_volume_ids = volume_ids(&volumes);
  state.volume_ids = volumes;
  state.n_file_set_ids = fileset_ids(&sets);
  state.file_set_ids = sets;
  state.services_generation = services_generation();
  state.configured = sandbox_is_configured();
  state.containers = container_states(&state.n_containers);
  Hyperstart__V1__Response response = HYPERSTART__V1__RESPONSE__INIT;
  response.result_case = HYPERSTART__V1__RESPONSE__RESULT_STATE;
  response.state = &state;
  reply_send(reply, &response);
  for (size_t index = 0; index < state.n_containers; index++) {
    hyperstart__v1__container_state__free_unpacked(state.containers[index], NULL);
  }
  free(state.containers);
}

static void get_file(const Hyperstart__V1__GetFile *request, struct reply reply) {
  struct error error;
  size_t length = 0;
  cleanup_free uint8_t *data = fileset_read(request, &length, &error);
  if (data == NULL) {
    reply_error(reply, &error);
    return;
  }
  Hyperstart__V1__GetFileResult result = HYPERSTART__V1__GET_FILE_RESULT__INIT;
  result.data = (ProtobufCBinaryData){.len = length, .data = data};
  Hyperstart__V1__Response response = HYPERSTART__V1__RESPONSE__INIT;
  response.result_case = HYPERSTART__V1__RESPONSE__RESULT_GET_FILE;
  response.get_file = &result;
  reply_send(reply, &response);
}

#define OPERATION(name) HYPERSTART__V1__REQUEST__OPERATION_##name

// Those that are answered on the spot. False: none of them.
static bool receive_immediate(const Hyperstart__V1__Request *request, struct reply reply) {
  struct error error;
  switch (request->operation_case) {
  case OPERATION(PUT_FILES):
    answer(reply, fileset_put(request->put_files, &error), &error);
    return true;
  case OPERATION(REMOVE_FILES):
    answer(reply, fileset_remove(request->remove_files->set_id, &error), &error);
    return true;
  case OPERATION(SIGNAL_PROCESS):
    answer(reply, container_signal(request->signal_process, &error), &error);
    return true;
  case OPERATION(RESIZE_TERMINAL):
    answer(reply, container_resize_terminal(request->resize_terminal, &error), &error);
    return true;
  case OPERATION(UPDATE_RESOURCES):
    answer(reply, container_update_resources(request->update_resources, &error), &error);
    return true;
  case OPERATION(UPDATE_SERVICES):
    answer(reply, services_update(request->update_services, &error), &error);
    return true;
  case OPERATION(SET_CLOCK):
    answer(reply, sandbox_set_clock(request->set_clock, &error), &error);
    return true;
  case OPERATION(CONFIGURE_NETWORK):
    answer(reply, sandbox_configure_network(request->configure_network, &error), &error);
    return true;
  case OPERATION(GET_STATE):
    get_state(reply);
    return true;
  case OPERATION(GET_FILE):
    get_file(request->get_file, reply);
    return true;
  default:
    return false;
  }
}

void request_receive(const Hyperstart__V1__Request *request) {
  struct reply reply = {.request_id = request->id, .session = channel_session()};
  if (receive_immediate(request, reply)) return;
  switch (request->operation_case) {
  case OPERATION(CONFIGURE_SANDBOX):
    sandbox_configure(request->configure_sandbox, reply);
    return;
  case OPERATION(MOUNT_VOLUME):
    volume_mount(request->mount_volume, reply);
    return;
  case OPERATION(UNMOUNT_VOLUME):
    volume_unmount(request->unmount_volume, reply);
    return;
  case OPERATION(CREATE_CONTAINER):
    container_create(request->create_container, reply);
    return;
  case OPERATION(START_CONTAINER):
    container_start(request->start_container, reply);
    return;
  case OPERATION(REMOVE_CONTAINER):
    container_remove(request->remove_container, reply);
    return;
  case OPERATION(EXEC):
    container_exec(request->exec, reply);
    return;
  case OPERATION(OPEN_CONNECTION):
    connection_open(request->open_connection, reply);
    return;
  case OPERATION(GET_STATS):
    stats_get(reply);
    return;
  case OPERATION(SHUTDOWN):
    sandbox_shutdown(request->shutdown, reply);
    return;
  default: {
    struct error error;
    error_set(&error, CODE_INVALID, "request %llu names no operation known here", (unsigned long long)request->id);
    reply_error(reply, &error);
  }
  }
}
