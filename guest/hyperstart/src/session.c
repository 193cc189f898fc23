#include "session.h"

#include "channel.h"
#include "clock.h"
#include "event.h"
#include "log.h"
#include "memory.h"
#include "request.h"
#include "sandbox.h"
#include "stream.h"

#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

#define PROTOCOL_VERSION 1u
#define AGENT_VERSION "1"

static void answer_hello(const Hyperstart__V1__Hello *hello) {
  struct utsname kernel = {0};
  struct sysinfo memory = {0};
  uname(&kernel);
  sysinfo(&memory);
  cleanup_free char *clock_source = clock_source_name();
  Hyperstart__V1__HelloReply reply = HYPERSTART__V1__HELLO_REPLY__INIT;
  reply.protocol_version = PROTOCOL_VERSION;
  reply.nonce = hello->nonce;
  reply.kernel_release = kernel.release;
  reply.clock_source = clock_source;
  reply.tickless = clock_is_tickless();
  reply.clock_realtime_ns = clock_realtime_ns();
  reply.clock_monotonic_ns = clock_monotonic_ns();
  reply.memory_total_bytes = (uint64_t)memory.totalram * memory.mem_unit;
  reply.configured = sandbox_is_configured();
  reply.agent_version = (char *)(uintptr_t)AGENT_VERSION;
  reply.streams = stream_positions(&reply.n_streams);
  Hyperstart__V1__GuestMessage message = HYPERSTART__V1__GUEST_MESSAGE__INIT;
  message.kind_case = HYPERSTART__V1__GUEST_MESSAGE__KIND_HELLO_REPLY;
  message.hello_reply = &reply;
  channel_send(&message);
  stream_positions_free(reply.streams, reply.n_streams);
}

static void receive_hello(const Hyperstart__V1__Hello *hello) {
  if (hello->protocol_version != PROTOCOL_VERSION) {
    log_line("host speaks protocol version %u, not %u", hello->protocol_version, PROTOCOL_VERSION);
  }
  channel_session_begin();
  // The reply says which version is spoken here; a host that wants another one goes away.
  answer_hello(hello);
  stream_resume(hello);
  event_replay();
}

void session_receive(const Hyperstart__V1__HostMessage *message) {
  if (message->kind_case == HYPERSTART__V1__HOST_MESSAGE__KIND_HELLO) {
    receive_hello(message->hello);
    return;
  }
  if (channel_session() == 0) return; // the rest of an earlier connection
  switch (message->kind_case) {
  case HYPERSTART__V1__HOST_MESSAGE__KIND_REQUEST:
    request_receive(message->request);
    break;
  case HYPERSTART__V1__HOST_MESSAGE__KIND_STREAM_DATA:
    stream_receive_data(message->stream_data);
    break;
  case HYPERSTART__V1__HOST_MESSAGE__KIND_STREAM_ACK:
    stream_receive_ack(message->stream_ack);
    break;
  case HYPERSTART__V1__HOST_MESSAGE__KIND_EVENT_ACK:
    event_receive_ack(message->event_ack->sequence);
    break;
  case HYPERSTART__V1__HOST_MESSAGE__KIND_STREAM_RESET:
    stream_receive_reset(message->stream_reset);
    break;
  default:
    break;
  }
}
