/* The interface that every emitted application is written against, on a model that is a few lines of C. */
#ifndef KWS_H
#define KWS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KWS_TINYCOMP_VERSION "0.1.0"
#define KWS_MODEL_SHA256 "abababababababababababababababababababababababababababababababab"

#define KWS_ARENA_SIZE 256
#define KWS_ARENA_ALIGN 16
#ifdef STUB_PUSH
#define KWS_NUM_INPUTS 1
#else
#define KWS_NUM_INPUTS 2
#endif
#define KWS_NUM_OUTPUTS 3
#define KWS_NUM_LAYERS 2

#define KWS_INPUT0_BYTES 12
#define KWS_INPUT0_ELEMENTS 12
#define KWS_INPUT0_TYPE int8_t
#define KWS_INPUT0_SCALE 0.5f
#define KWS_INPUT0_ZERO_POINT (-3)
#define KWS_INPUT0_ROW_BYTES 4
#define KWS_INPUT0_ROWS 3

#define KWS_INPUT1_BYTES 8
#define KWS_INPUT1_ELEMENTS 2
#define KWS_INPUT1_TYPE float
#define KWS_INPUT1_SCALE 1.0f
#define KWS_INPUT1_ZERO_POINT (0)

#define KWS_OUTPUT0_BYTES 300
#define KWS_OUTPUT0_ELEMENTS 300
#define KWS_OUTPUT0_TYPE int8_t
#define KWS_OUTPUT0_SCALE 0.25f
#define KWS_OUTPUT0_ZERO_POINT (-128)

#define KWS_OUTPUT1_BYTES 8
#define KWS_OUTPUT1_ELEMENTS 2
#define KWS_OUTPUT1_TYPE float
#define KWS_OUTPUT1_SCALE 1.0f
#define KWS_OUTPUT1_ZERO_POINT (0)

#define KWS_OUTPUT2_BYTES 16
#define KWS_OUTPUT2_ELEMENTS 4
#define KWS_OUTPUT2_TYPE int32_t
#define KWS_OUTPUT2_SCALE 1.0f
#define KWS_OUTPUT2_ZERO_POINT (0)

typedef enum {
  KWS_OK = 0,
  KWS_ERROR_ARENA_TOO_SMALL,
  KWS_ERROR_ARENA_MISALIGNED,
  KWS_ERROR_BAD_ARGUMENT,
  KWS_ERROR_NOT_READY
} kws_status_t;

typedef struct {
  uint8_t *arena;
} kws_ctx_t;

kws_status_t kws_init(kws_ctx_t *ctx, void *arena, size_t arena_size);
void *kws_input(kws_ctx_t *ctx, size_t index);
kws_status_t kws_invoke(kws_ctx_t *ctx);
kws_status_t kws_push_row(kws_ctx_t *ctx, const void *row);
const void *kws_output(const kws_ctx_t *ctx, size_t index);
kws_status_t kws_reset(kws_ctx_t *ctx);

#ifdef KWS_PROFILE
void kws_layer_begin(size_t layer);
void kws_layer_end(size_t layer);
const char *kws_layer_name(size_t index);
#endif

#ifdef __cplusplus
}
#endif

#endif
