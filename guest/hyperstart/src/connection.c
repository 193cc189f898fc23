#include "connection.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "address.h"
#include "loop.h"
#include "memory.h"
#include "stream.h"

#define TIMEOUT_DEFAULT_MS 10000u
#define CONNECTING_MAX 256u

struct connection {
  struct watch watch;
  struct timer timer;
  struct reply reply;
  uint32_t stream_to_guest;
  uint32_t stream_to_host;
  char name[80];
};

static unsigned connecting;

static void connection_free(struct connection *connection) {
  loop_timer_stop(&connection->timer);
  loop_unwatch(&connection->watch);
  if (connection->watch.fd >= 0) close(connection->watch.fd);
  connecting--;
  free(connection);
}

static void connection_fail(struct connection *connection, int number) {
  struct error error;
  errno = number;
  error_errno(&error, "connect to %s", connection->name);
  if (number == ECONNREFUSED || number == EHOSTUNREACH || number == ENETUNREACH) error.code = CODE_PRECONDITION;
  reply_error(connection->reply, &error);
  stream_close_to_guest(connection->stream_to_guest);
  stream_abort(connection->stream_to_host, error.message);
  connection_free(connection);
}

static void connection_expired(struct timer *timer) {
  connection_fail(container_of(timer, struct connection, timer), ETIMEDOUT);
}

static void connection_ready(struct watch *watch, uint32_t events) {
  (void)events;
  struct connection *connection = container_of(watch, struct connection, watch);
  int number = 0;
  socklen_t length = sizeof number;
  if (getsockopt(watch->fd, SOL_SOCKET, SO_ERROR, &number, &length) < 0) number = errno;
  if (number != 0) {
    connection_fail(connection, number);
    return;
  }
  reply_success(connection->reply);
  loop_unwatch(&connection->watch);
  // Each direction closes a descriptor of its own.
  stream_attach(connection->stream_to_guest, fcntl(watch->fd, F_DUPFD_CLOEXEC, 3));
  stream_attach(connection->stream_to_host, watch->fd);
  watch->fd = -1;
  connection_free(connection);
}

static int connection_start(const Hyperstart__V1__OpenConnection *request, struct reply reply, struct error *error) {
  struct address address;
  if (!address_parse(request->host, &address) || request->port == 0 || request->port > 65535) {
    return error_set(error, CODE_INVALID, "connect to '%.64s' port %u: not an address and port", request->host, request->port);
  }
  if (stream_exists(request->stream_to_guest) || stream_exists(request->stream_to_host) || request->stream_to_guest == 0 ||
      request->stream_to_host == 0 || request->stream_to_guest == request->stream_to_host) {
    return error_set(error, CODE_EXISTS, "streams %u and %u are not free", request->stream_to_guest, request->stream_to_host);
  }
  if (connecting >= CONNECTING_MAX) return error_set(error, CODE_EXHAUSTED, "%u connections are being opened", connecting);
  int fd = socket(address.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return error_errno(error, "make a socket");
  struct sockaddr_storage target;
  socklen_t length = address_to_socket(&address, (uint16_t)request->port, &target);
  int result = connect(fd, (struct sockaddr *)&target, length);
  int number = result < 0 ? errno : 0;

  struct connection *connection = memory_alloc(sizeof *connection);
  connecting++;
  connection->watch = (struct watch){.fd = fd, .ready = connection_ready};
  connection->timer.fire = connection_expired;
  connection->reply = reply;
  connection->stream_to_guest = request->stream_to_guest;
  connection->stream_to_host = request->stream_to_host;
  snprintf(connection->name, sizeof connection->name, "%.64s port %u", request->host, request->port);
  stream_open_to_guest(request->stream_to_guest, -1, true);
  stream_open_to_host(request->stream_to_host, -1, NULL, NULL);
  if (number != 0 && number != EINPROGRESS) {
    connection_fail(connection, number);
    return 0;
  }
  loop_watch(&connection->watch, EPOLLOUT);
  loop_timer_start(&connection->timer, request->timeout_ms != 0 ? request->timeout_ms : TIMEOUT_DEFAULT_MS);
  return 0;
}

void connection_open(const Hyperstart__V1__OpenConnection *request, struct reply reply) {
  struct error error;
  if (connection_start(request, reply, &error) < 0) reply_error(reply, &error);
}
