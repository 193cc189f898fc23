#include "sandbox.h"
static bool configured;
bool sandbox_is_configured(void) {
  return configured;
}
