/* Answers one inference with fixed values and leaves with status 7 on the second; 8 where the inputs are not the
 * zero points. */
#include "kws.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int8_t input0[12];
static float input1[2] = {1.0f, 1.0f};
static int invocations, rows;

kws_status_t kws_init(kws_ctx_t *ctx, void *arena, size_t arena_size)
{
  if ((uintptr_t)arena % KWS_ARENA_ALIGN != 0) {
    return KWS_ERROR_ARENA_MISALIGNED;
  }
  ctx->arena = (uint8_t *)arena;
  return arena_size < KWS_ARENA_SIZE ? KWS_ERROR_ARENA_TOO_SMALL : KWS_OK;
}

void *kws_input(kws_ctx_t *ctx, size_t index)
{
  (void)ctx;
  return index == 0 ? (void *)input0 : (void *)input1;
}

kws_status_t kws_invoke(kws_ctx_t *ctx)
{
  (void)ctx;
  for (int i = 0; i < 12; i++) {
    if (input0[i] != -3) {
      exit(8);
    }
  }
  if (invocations++ == 1) {
    fflush(stdout);
    exit(7);
  }
  return KWS_OK;
}

kws_status_t kws_push_row(kws_ctx_t *ctx, const void *row)
{
  memcpy(input0 + 4 * rows, row, 4);
  rows = (rows + 1) % KWS_INPUT0_ROWS;
  return rows == 0 ? kws_invoke(ctx) : KWS_ERROR_NOT_READY;
}

const void *kws_output(const kws_ctx_t *ctx, size_t index)
{
  static const int8_t classes[20] = {-128, -127, 127};
  static const float reals[2] = {-0.5f, 1.25f};
  static const int32_t integers[4] = {INT32_MIN, INT32_MAX, 0, -7};
  (void)ctx;
  return index == 0 ? (const void *)classes : index == 1 ? (const void *)reals : (const void *)integers;
}
