// The golden vectors mean what proto/golden/README.md says they mean, and are packed here to the same bytes.
#include <string.h>

#include <hyperstart/v1/hyperstart.pb-c.h>

#include "check.h"
#include "frame.h"
#include "memory.h"

static size_t read_golden(const char *name, uint8_t *bytes, size_t size) {
  cleanup_free char *path = memory_format("%s/%s.bin", getenv("GOLDEN"), name);
  FILE *file = fopen(path, "re");
  CHECK(file != NULL);
  size_t length = fread(bytes, 1, size, file);
  fclose(file);
  CHECK(length > FRAME_HEADER_SIZE);
  return length - FRAME_HEADER_SIZE;
}

static void check_packed(const ProtobufCMessage *message, const uint8_t *payload, size_t length) {
  cleanup_free uint8_t *packed = memory_alloc(length);
  CHECK(protobuf_c_message_get_packed_size(message) == length);
  protobuf_c_message_pack(message, packed);
  CHECK(memcmp(packed, payload, length) == 0);
}

static uint8_t bytes[65536];
static const uint8_t *const payload = bytes + FRAME_HEADER_SIZE;

static void test_hello(void) {
  size_t length = read_golden("hello", bytes, sizeof bytes);
  Hyperstart__V1__HostMessage *message = hyperstart__v1__host_message__unpack(NULL, length, payload);
  CHECK(message != NULL && message->kind_case == HYPERSTART__V1__HOST_MESSAGE__KIND_HELLO);
  CHECK(message->hello->protocol_version == 1);
  CHECK(message->hello->nonce == 0x0123456789abcdefu);
  CHECK(message->hello->n_streams == 2);
  CHECK(message->hello->streams[1]->stream == 9 && message->hello->streams[1]->offset == 5000000000u);
  check_packed(&message->base, payload, length);
  hyperstart__v1__host_message__free_unpacked(message, NULL);
}

static void test_request(void) {
  size_t length = read_golden("request-exec", bytes, sizeof bytes);
  Hyperstart__V1__HostMessage *message = hyperstart__v1__host_message__unpack(NULL, length, payload);
  CHECK(message != NULL && message->kind_case == HYPERSTART__V1__HOST_MESSAGE__KIND_REQUEST);
  CHECK(message->request->id == 42);
  CHECK(message->request->operation_case == HYPERSTART__V1__REQUEST__OPERATION_EXEC);
  const Hyperstart__V1__Exec *exec = message->request->exec;
  CHECK(strcmp(exec->container_id, "c1") == 0 && exec->process->n_args == 2 && strcmp(exec->process->args[1], "grüße") == 0);
  CHECK(exec->process->oom_score_adj == -998);
  check_packed(&message->base, payload, length);
  hyperstart__v1__host_message__free_unpacked(message, NULL);
}

static void test_stream_data(void) {
  size_t length = read_golden("stream-data", bytes, sizeof bytes);
  Hyperstart__V1__GuestMessage *message = hyperstart__v1__guest_message__unpack(NULL, length, payload);
  CHECK(message != NULL && message->kind_case == HYPERSTART__V1__GUEST_MESSAGE__KIND_STREAM_DATA);
  const Hyperstart__V1__StreamData *data = message->stream_data;
  CHECK(data->stream == 7 && data->offset == 65536 && data->eof && data->data.len == 256);
  for (size_t index = 0; index < 256; index++) CHECK(data->data.data[index] == index);
  check_packed(&message->base, payload, length);
  hyperstart__v1__guest_message__free_unpacked(message, NULL);
}

static void test_event(void) {
  size_t length = read_golden("event-exited", bytes, sizeof bytes);
  Hyperstart__V1__GuestMessage *message = hyperstart__v1__guest_message__unpack(NULL, length, payload);
  CHECK(message != NULL && message->kind_case == HYPERSTART__V1__GUEST_MESSAGE__KIND_EVENT);
  CHECK(message->event->sequence == 3 && message->event->kind_case == HYPERSTART__V1__EVENT__KIND_PROCESS_EXITED);
  CHECK(message->event->process_exited->exit_code == 137 && message->event->process_exited->oom_killed);
  check_packed(&message->base, payload, length);
  hyperstart__v1__guest_message__free_unpacked(message, NULL);
}

int main(void) {
  test_hello();
  test_request();
  test_stream_data();
  test_event();
  return 0;
}
