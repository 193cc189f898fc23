// Streams over a channel: the window, resumption after a new Hello, repetitions and gaps, ends. The port is a socket here.
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "channel.h"
#include "check.h"
#include "frame.h"
#include "loop.h"
#include "memory.h"
#include "stream.h"

static int host;
static struct frame_decoder from_guest;
static struct timer tick;
static int finished_count;

static void receive_nothing(const Hyperstart__V1__HostMessage *message) {
  (void)message;
}

static void tick_fire(struct timer *timer) {
  (void)timer;
}

// Lets the loop do everything there is to do.
static void settle(void) {
  for (int step = 0; step < 64; step++) {
    tick.fire = tick_fire;
    loop_timer_start(&tick, 1);
    loop_step();
    loop_timer_stop(&tick);
    stream_pump();
    channel_flush();
  }
}

static Hyperstart__V1__GuestMessage *next_message(void) {
  for (;;) {
    uint8_t *room = frame_decoder_room(&from_guest, 65536);
    ssize_t got = recv(host, room, 65536, MSG_DONTWAIT);
    if (got > 0) frame_decoder_added(&from_guest, (size_t)got);
    const uint8_t *payload;
    uint32_t length;
    if (frame_decoder_next(&from_guest, &payload, &length)) return hyperstart__v1__guest_message__unpack(NULL, length, payload);
    if (got <= 0) return NULL;
    channel_flush();
  }
}

static uint8_t taken[400000];
static uint64_t taken_until;
static bool taken_eof;

// Takes all stream data that comes; offsets must follow on one another.
static void take_all(uint32_t stream) {
  for (;;) {
    settle();
    Hyperstart__V1__GuestMessage *message = next_message();
    if (message == NULL) return;
    for (; message != NULL; message = next_message()) {
      if (message->kind_case == HYPERSTART__V1__GUEST_MESSAGE__KIND_STREAM_DATA) {
        const Hyperstart__V1__StreamData *data = message->stream_data;
        CHECK(data->stream == stream && data->offset == taken_until && data->data.len <= STREAM_CHUNK_MAX);
        if (data->data.len > 0) memcpy(taken + taken_until, data->data.data, data->data.len);
        taken_until += data->data.len;
        taken_eof = data->eof;
      }
      hyperstart__v1__guest_message__free_unpacked(message, NULL);
    }
  }
}

static uint64_t last_ack(uint32_t stream) {
  uint64_t offset = 0;
  settle();
  for (Hyperstart__V1__GuestMessage *message = next_message(); message != NULL; message = next_message()) {
    if (message->kind_case == HYPERSTART__V1__GUEST_MESSAGE__KIND_STREAM_ACK && message->stream_ack->stream == stream) {
      offset = message->stream_ack->offset;
    }
    hyperstart__v1__guest_message__free_unpacked(message, NULL);
  }
  return offset;
}

static void acknowledge(uint32_t stream, uint64_t offset) {
  Hyperstart__V1__StreamAck ack = HYPERSTART__V1__STREAM_ACK__INIT;
  ack.stream = stream;
  ack.offset = offset;
  stream_receive_ack(&ack);
}

static void say_hello(uint32_t stream, uint64_t offset) {
  Hyperstart__V1__StreamPosition position = HYPERSTART__V1__STREAM_POSITION__INIT;
  Hyperstart__V1__StreamPosition *positions[] = {&position};
  Hyperstart__V1__Hello hello = HYPERSTART__V1__HELLO__INIT;
  position.stream = stream;
  position.offset = offset;
  hello.streams = positions;
  hello.n_streams = 1;
  channel_session_begin();
  stream_resume(&hello);
}

static void on_finished(void *owner) {
  CHECK(owner == &finished_count);
  finished_count++;
}

static void test_to_host(void) {
  static uint8_t content[200000];
  int ends[2];
  for (size_t index = 0; index < sizeof content; index++) content[index] = (uint8_t)(index * 7 + index / 251);
  CHECK(pipe2(ends, O_NONBLOCK | O_CLOEXEC) == 0 && fcntl(ends[1], F_SETPIPE_SZ, 262144) >= 200000);
  CHECK(write(ends[1], content, sizeof content) == sizeof content);
  CHECK(stream_open_to_host(5, ends[0], on_finished, &finished_count));
  CHECK(!stream_open_to_host(5, ends[0], on_finished, &finished_count));
  close(ends[1]);

  take_all(5);
  CHECK(taken_until == STREAM_WINDOW && !taken_eof && finished_count == 0); // held back by the window
  acknowledge(5, 1000000);                                                  // never sent: counts as all that was sent
  acknowledge(5, 10);                                                       // late: nothing
  take_all(5);
  CHECK(taken_until == 2 * STREAM_WINDOW);

  // A new host has taken over less than was sent: the rest comes again.
  taken_until = STREAM_WINDOW + 100;
  say_hello(5, taken_until);
  take_all(5);
  CHECK(taken_until == 2 * STREAM_WINDOW + 100);
  for (int round = 0; round < 2; round++) {
    acknowledge(5, taken_until);
    take_all(5);
  }
  CHECK(taken_until == sizeof content && taken_eof && finished_count == 1);
  CHECK(memcmp(taken, content, sizeof content) == 0);

  // The end is acknowledged by one more; lost, it comes again.
  acknowledge(5, taken_until);
  CHECK(stream_exists(5));
  taken_eof = false;
  say_hello(5, taken_until);
  take_all(5);
  CHECK(taken_eof && stream_exists(5));
  say_hello(5, taken_until + 1);
  CHECK(!stream_exists(5));
}

static void test_unwanted(void) {
  int ends[2];
  CHECK(pipe2(ends, O_NONBLOCK | O_CLOEXEC) == 0);
  CHECK(stream_open_to_host(6, ends[0], on_finished, &finished_count));
  say_hello(99, 0);
  CHECK(!stream_exists(6) && finished_count == 2);
  CHECK(write(ends[1], "x", 1) < 0); // the reader has gone
  close(ends[1]);
}

static void test_drain(void) {
  int ends[2];
  CHECK(pipe2(ends, O_NONBLOCK | O_CLOEXEC) == 0);
  CHECK(stream_open_to_host(7, ends[0], on_finished, &finished_count));
  CHECK(write(ends[1], "last words", 10) == 10);
  stream_drain(7); // the process has ended, somebody else still holds its output open
  CHECK(finished_count == 3);
  taken_until = 0;
  take_all(7);
  CHECK(taken_until == 10 && taken_eof);
  acknowledge(7, 11);
  CHECK(!stream_exists(7));
  close(ends[1]);
}

static void give(uint32_t stream, uint64_t offset, const void *bytes, size_t length, bool eof) {
  Hyperstart__V1__StreamData data = HYPERSTART__V1__STREAM_DATA__INIT;
  data.stream = stream;
  data.offset = offset;
  data.data = (ProtobufCBinaryData){.len = length, .data = (uint8_t *)(uintptr_t)bytes};
  data.eof = eof;
  stream_receive_data(&data);
}

static void test_to_guest(void) {
  static uint8_t content[70000];
  char got[64] = "";
  int ends[2];
  CHECK(pipe2(ends, O_NONBLOCK | O_CLOEXEC) == 0);
  CHECK(stream_open_to_guest(8, -1, false));
  give(8, 0, "abc", 3, false); // before its descriptor is there
  CHECK(last_ack(8) == 0);
  stream_attach(8, ends[1]);
  CHECK(last_ack(8) == 3);
  give(8, 0, "abc", 3, false);                // repeated
  give(8, 10, "gap", 3, false);               // too early
  give(8, 2, "cde", 3, false);                // overlapping
  give(8, 5, content, sizeof content, false); // more than the window
  CHECK(last_ack(8) == 5);
  CHECK(read(ends[0], got, sizeof got) == 5 && memcmp(got, "abcde", 5) == 0);

  // A pipe that is full: what it did not take is kept, not acknowledged.
  CHECK(fcntl(ends[1], F_SETPIPE_SZ, 4096) == 4096);
  give(8, 5, content, 60000, true);
  CHECK(last_ack(8) == 5 + 4096);
  size_t count;
  Hyperstart__V1__StreamPosition **positions = stream_positions(&count);
  CHECK(count == 1 && positions[0]->stream == 8 && positions[0]->offset == 5 + 4096);
  stream_positions_free(positions, count);
  size_t total = 0;
  for (int round = 0; round < 100 && total < 60000; round++) {
    static char sink[8192];
    ssize_t length = read(ends[0], sink, sizeof sink);
    if (length > 0) total += (size_t)length;
    settle();
  }
  CHECK(total == 60000 && last_ack(8) == 60006);
  CHECK(read(ends[0], got, sizeof got) == 0); // end of file
  give(8, 5, content, 10, false);             // the host missed the last acknowledgement
  CHECK(last_ack(8) == 60006);
  close(ends[0]);
}

static void test_reader_gone(void) {
  int ends[2];
  CHECK(pipe2(ends, O_NONBLOCK | O_CLOEXEC) == 0);
  CHECK(stream_open_to_guest(9, ends[1], false));
  close(ends[0]);
  give(9, 0, "nobody", 6, false);
  settle();
  bool reset = false;
  for (Hyperstart__V1__GuestMessage *message = next_message(); message != NULL; message = next_message()) {
    if (message->kind_case == HYPERSTART__V1__GUEST_MESSAGE__KIND_STREAM_RESET) reset = message->stream_reset->stream == 9;
    hyperstart__v1__guest_message__free_unpacked(message, NULL);
  }
  CHECK(reset);
}

int main(void) {
  int ends[2];
  CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
  signal(SIGPIPE, SIG_IGN);
  host = ends[0];
  loop_init();
  channel_open(ends[1], receive_nothing);
  channel_session_begin();
  test_to_host();
  test_unwanted();
  test_drain();
  test_to_guest();
  test_reader_gone();
  frame_decoder_clear(&from_guest);
  return 0;
}
