// One line per fact on the console, for people who look into a machine that does not answer. Never contents of requests.
#pragma once

void log_line(const char *format, ...) __attribute__((format(printf, 1, 2)));
