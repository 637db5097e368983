/* With x and y the inputs: output 0 is x over and over, the element's number added; output 1 is 2 y; output 2 is once,
 * twice, three times the sum of x, and how many inferences there were since the last reset. As in an arena, an
 * inference overwrites the inputs. With STUB_FAULTS, an inference whose first value is 66 never ends, with 67 it fails.
 * With STUB_REFUSES, the arena is refused. */
#define _POSIX_C_SOURCE 200809L
#include "kws.h"

#include <stdlib.h>
#include <string.h>

static int8_t input0[12];
static float input1[2];
static int8_t output0[KWS_OUTPUT0_ELEMENTS];
static float output1[2];
static int32_t output2[4];
static int inferences, rows;

#ifdef KWS_PROFILE
#define LAYER_BEGIN(layer) kws_layer_begin(layer)
#define LAYER_END(layer) kws_layer_end(layer)

const char *kws_layer_name(size_t index)
{
  return index == 0 ? "first" : index == 1 ? "second, with a \"long\" name" : NULL;
}
#else
#define LAYER_BEGIN(layer) ((void)(layer))
#define LAYER_END(layer) ((void)(layer))
#endif

kws_status_t kws_init(kws_ctx_t *ctx, void *arena, size_t arena_size)
{
  if ((uintptr_t)arena % KWS_ARENA_ALIGN != 0) {
    return KWS_ERROR_ARENA_MISALIGNED;
  }
  ctx->arena = (uint8_t *)arena;
#ifdef STUB_REFUSES
  arena_size = 0;
#endif
  return arena_size < KWS_ARENA_SIZE ? KWS_ERROR_ARENA_TOO_SMALL : kws_reset(ctx);
}

kws_status_t kws_reset(kws_ctx_t *ctx)
{
  inferences = rows = 0;
  return ctx->arena == NULL ? KWS_ERROR_BAD_ARGUMENT : KWS_OK;
}

void *kws_input(kws_ctx_t *ctx, size_t index)
{
  (void)ctx;
  return index == 0 ? (void *)input0 : index == 1 ? (void *)input1 : NULL;
}

kws_status_t kws_invoke(kws_ctx_t *ctx)
{
  int32_t sum = 0;

  (void)ctx;
#ifdef STUB_FAULTS
  while (input0[0] == 66) {
  }
  if (input0[0] == 67) {
    return KWS_ERROR_BAD_ARGUMENT;
  }
#endif
  inferences++;
  LAYER_BEGIN(0);
  for (int i = 0; i < KWS_OUTPUT0_ELEMENTS; i++) {
    output0[i] = (int8_t)(uint8_t)((input0[i % 12] + i) & 0xFF);
  }
  for (int i = 0; i < 12; i++) {
    sum += input0[i];
  }
  LAYER_END(0);
  LAYER_BEGIN(1);
  for (int i = 0; i < 2; i++) {
    output1[i] = 2.0f * input1[i];
  }
  for (int i = 0; i < 3; i++) {
    output2[i] = (i + 1) * sum;
  }
  output2[3] = inferences;
  LAYER_END(1);
  memset(input0, 0x55, sizeof input0);
  memset(input1, 0x55, sizeof input1);
  return KWS_OK;
}

kws_status_t kws_push_row(kws_ctx_t *ctx, const void *row)
{
  memcpy(input0 + 4 * rows, row, 4);
  memset(input1, 0, sizeof input1);
  rows = (rows + 1) % KWS_INPUT0_ROWS;
  return rows == 0 ? kws_invoke(ctx) : KWS_ERROR_NOT_READY;
}

const void *kws_output(const kws_ctx_t *ctx, size_t index)
{
  (void)ctx;
  return index == 0 ? (const void *)output0 : index == 1 ? (const void *)output1 : index == 2 ? (const void *)output2 : NULL;
}
