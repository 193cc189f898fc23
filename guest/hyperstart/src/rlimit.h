// Resource limits by name.
#pragma once

// Number of "RLIMIT_NOFILE", -1 if unknown.
int rlimit_number(const char *name);
