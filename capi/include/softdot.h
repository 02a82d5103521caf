#ifndef SOFTDOT_H
#define SOFTDOT_H

/* Made by cbindgen from capi/src. How to use it: docs/c.md. */

#include <stddef.h>
#include <stdint.h>

/*
 The widest instruction set of this CPU, up to the limit in the environment's SOFTDOT_MAX_ISA.
 */
#define SOFTDOT_ISA_DETECTED 0

/*
 One lane.
 */
#define SOFTDOT_ISA_SCALAR 1

/*
 128-bit vectors of aarch64.
 */
#define SOFTDOT_ISA_NEON 2

/*
 256-bit vectors of x86-64.
 */
#define SOFTDOT_ISA_AVX2 3

/*
 512-bit vectors of x86-64.
 */
#define SOFTDOT_ISA_AVX512 4

/*
 Not causal.
 */
#define SOFTDOT_CAUSAL_NONE 0

/*
 Causal, query row i stands at key i.
 */
#define SOFTDOT_CAUSAL_TOP_LEFT 1

/*
 Causal, the last query row stands at the last key: the newest tokens of a cache.
 */
#define SOFTDOT_CAUSAL_BOTTOM_RIGHT 2

/*
 Causal, query row 0 stands at the key causal_offset, which may be negative.
 */
#define SOFTDOT_CAUSAL_OFFSET 3

/*
 softdot_options.flags: scale is given. Without it the scale is 1/sqrt(head_dim).
 */
#define SOFTDOT_SCALE 1

/*
 softdot_options.flags: window_left is given. Without it the window is unbounded there.
 */
#define SOFTDOT_WINDOW_LEFT 2

/*
 softdot_options.flags: window_right is given. Without it the window is unbounded there.
 */
#define SOFTDOT_WINDOW_RIGHT 4

/*
 softdot_outputs.flags: mass_rows_begin and mass_rows_end are given. Without it all rows count.
 */
#define SOFTDOT_MASS_ROWS 1

/*
 Stage of logits: scale * q.k.
 */
#define SOFTDOT_LOGITS_SCORES 1

/*
 Stage of logits: after the softcap.
 */
#define SOFTDOT_LOGITS_CAPPED 2

/*
 Stage of logits: what the softmax sees, minus infinity where excluded.
 */
#define SOFTDOT_LOGITS_BIASED 3

/*
 Version of the interface that this header describes.
 */
#define SOFTDOT_ABI_VERSION 1

/*
 Element type: float.
 */
#define SOFTDOT_F32 1

/*
 Element type: IEEE 754 binary16.
 */
#define SOFTDOT_F16 2

/*
 Element type: bfloat16.
 */
#define SOFTDOT_BF16 3

/*
 Element type of masks: a byte (or a C bool), of which any but 0 is true.
 */
#define SOFTDOT_U8 4

/*
 Element type of numbers of keys: int64_t.
 */
#define SOFTDOT_I64 5

/*
 Element type of key_mass: double.
 */
#define SOFTDOT_F64 6

/*
 Keys in the order in which the kernels read them. Any number of calls may read them at a time.
 */
typedef struct softdot_packed_keys softdot_packed_keys;

/*
 Threads that calls share their work over; any number of calls at a time.
 */
typedef struct softdot_pool softdot_pool;

/*
 Memory for calls, one at a time; it grows to the largest that it has seen.
 */
typedef struct softdot_workspace softdot_workspace;

/*
 What a function returns: SOFTDOT_OK, or why it did nothing.
 */
typedef int32_t softdot_status;

/*
 Memory to read, [batch, heads, rows, columns].
 */
typedef struct {
    /*
     The first element, aligned as its type. May be null if an extent is 0.
     */
    const void *data;
    /*
     Element type, SOFTDOT_F32 and so on.
     */
    int32_t dtype;
    /*
     0.
     */
    int32_t reserved;
    /*
     Extents, 0 or more each.
     */
    int64_t shape[4];
    /*
     Strides in elements, 0 or more each; 0 repeats an axis.
     */
    int64_t strides[4];
} softdot_view;

/*
 The options of a call. All zero but struct_size: none.
 */
typedef struct {
    /*
     sizeof(softdot_options).
     */
    size_t struct_size;
    /*
     Which of the numbers below are given: SOFTDOT_SCALE, SOFTDOT_WINDOW_LEFT, SOFTDOT_WINDOW_RIGHT.
     */
    uint32_t flags;
    /*
     What q.k is multiplied by, any finite value.
     */
    float scale;
    /*
     Caps scores softly: softcap * tanh(score / softcap). 0 is no cap.
     */
    float softcap;
    /*
     SOFTDOT_CAUSAL_NONE and so on.
     */
    int32_t causal;
    /*
     Where query row 0 stands with SOFTDOT_CAUSAL_OFFSET, else 0.
     */
    int64_t causal_offset;
    /*
     Keys before a row's own position that it attends to at most.
     */
    int64_t window_left;
    /*
     Keys after a row's own position that it attends to at most.
     */
    int64_t window_right;
    /*
     What to add to the scaled, capped scores, or null: [batch, q_heads, query_rows, keys], each
     extent as that of the weights or 1. Minus infinity excludes.
     */
    const softdot_view *bias;
    /*
     Which keys rows attend to, SOFTDOT_U8, or null: extents as those of bias.
     */
    const softdot_view *mask;
    /*
     One ALiBi slope for each query head, or null.
     */
    const float *alibi_slopes;
    /*
     How many.
     */
    size_t alibi_slopes_count;
    /*
     How many keys each batch entry has, the first ones, or null. Nothing beyond them is read.
     */
    const size_t *key_lengths;
    /*
     How many.
     */
    size_t key_lengths_count;
    /*
     A logit for each query head that takes part in the normalisation alone, or null.
     */
    const float *sinks;
    /*
     How many.
     */
    size_t sinks_count;
    /*
     SOFTDOT_ISA_DETECTED, or the instruction set to run on.
     */
    int32_t isa;
    /*
     0.
     */
    uint32_t reserved_word;
    /*
     0 each.
     */
    uint64_t reserved[8];
} softdot_options;

/*
 Memory to write, [batch, heads, rows, columns]. No two elements share memory, and no target's
 memory, from its first element to its last, overlaps any other argument's. What lies between the
 elements is not touched, but belongs to the call while it runs.
 */
typedef struct {
    /*
     The first element, aligned as its type. May be null if an extent is 0.
     */
    void *data;
    /*
     Element type, SOFTDOT_F32 and so on.
     */
    int32_t dtype;
    /*
     0.
     */
    int32_t reserved;
    /*
     Extents, 0 or more each.
     */
    int64_t shape[4];
    /*
     Strides in elements, 0 or more each.
     */
    int64_t strides[4];
} softdot_target;

/*
 What a call computes, and into which memory. A null pointer: not that.
 */
typedef struct {
    /*
     sizeof(softdot_outputs).
     */
    size_t struct_size;
    /*
     weights * V, [batch, q_heads, query_rows, v_dim].
     */
    const softdot_target *output;
    /*
     The log-sum-exp of each row's logits, natural, [batch, q_heads, query_rows, 1].
     */
    const softdot_target *lse;
    /*
     The attention weights, [batch, q_heads, query_rows, keys].
     */
    const softdot_target *weights;
    /*
     The weights of the query heads in the list heads, [batch, heads_count, query_rows, keys].
     */
    const softdot_target *weights_of_heads;
    /*
     Query heads.
     */
    const size_t *heads;
    /*
     How many.
     */
    size_t heads_count;
    /*
     The logits at logits_stage, [batch, q_heads, query_rows, keys].
     */
    const softdot_target *logits;
    /*
     SOFTDOT_LOGITS_SCORES and so on; 0 without logits.
     */
    int32_t logits_stage;
    /*
     SOFTDOT_MASS_ROWS, or 0.
     */
    uint32_t flags;
    /*
     Each row's largest logit, [batch, q_heads, query_rows, 1].
     */
    const softdot_target *max_logit;
    /*
     Each row's largest weight, [batch, q_heads, query_rows, 1].
     */
    const softdot_target *max_weight;
    /*
     Its key, SOFTDOT_I64, [batch, q_heads, query_rows, 1]; -1 if there is none.
     */
    const softdot_target *max_weight_key;
    /*
     The entropy of each row's weights in nats, [batch, q_heads, query_rows, 1].
     */
    const softdot_target *entropy;
    /*
     The largest weights of each row, [batch, q_heads, query_rows, k], k up to 256. With top_k_keys.
     */
    const softdot_target *top_k_weights;
    /*
     Their keys, SOFTDOT_I64; -1 for none. With top_k_weights.
     */
    const softdot_target *top_k_keys;
    /*
     Adds the weights that each key received: SOFTDOT_F64, [batch, q_heads or kv_heads, 1, keys].
     */
    const softdot_target *key_mass;
    /*
     The largest weight that each key received, if larger than what is there: SOFTDOT_F32, extents
     as those of key_mass.
     */
    const softdot_target *key_max;
    /*
     The first query row that counts for key_mass and key_max.
     */
    int64_t mass_rows_begin;
    /*
     The first that does not any more.
     */
    int64_t mass_rows_end;
    /*
     0 each.
     */
    uint64_t reserved[8];
} softdot_outputs;

/*
 What softdot_parallel_for calls with each index. It may be called on any thread, and never unwinds.
 */
typedef void (*softdot_body)(void *work, int64_t index);

/*
 A loop of the host's: calls body(work, index) for each index from 0 to count - 1, on any threads, at
 the same time or one after another in any order, and returns when these calls have. It does not
 throw. Each call of body takes tasks until none is left: none waits for one that has not begun, and
 the tasks of indices that are left out run on the calling thread in the end.
 */
typedef void (*softdot_parallel_for)(void *context, int64_t count, softdot_body body, void *work);

/*
 A call of attention.
 */
typedef struct {
    /*
     sizeof(softdot_call).
     */
    size_t struct_size;
    /*
     [batch, q_heads, query_rows, head_dim].
     */
    const softdot_view *query;
    /*
     [batch or 1, kv_heads, keys, head_dim], q_heads a multiple of kv_heads; null with packed_keys.
     */
    const softdot_view *key;
    /*
     Keys that are kept packed; null with key.
     */
    const softdot_packed_keys *packed_keys;
    /*
     [batch or 1, kv_heads, keys, v_dim]; may be null unless the output is asked for.
     */
    const softdot_view *value;
    /*
     Null: no options.
     */
    const softdot_options *options;
    /*
     What is computed.
     */
    const softdot_outputs *outputs;
    /*
     Null, and workspace_memory, too: the call has memory of its own, which it allocates and frees.
     */
    const softdot_workspace *workspace;
    /*
     Memory to work in, without workspace: softdot_attention_workspace_bytes says how much. Aligned as
     float, of any content. Null: not that.
     */
    void *workspace_memory;
    /*
     How many bytes of it; 0 without.
     */
    size_t workspace_bytes;
    /*
     Threads that share the work. Null, and parallel_for, too: the calling thread alone.
     */
    const softdot_pool *pool;
    /*
     Null: not threads of the host's own. Null with pool.
     */
    softdot_parallel_for parallel_for;
    /*
     What parallel_for is called with, may be null.
     */
    void *parallel_for_context;
    /*
     How many threads parallel_for can use, the calling one included: 1 to 1024, 0 without.
     */
    int64_t parallel_for_threads;
    /*
     0 each: room for caches, pages and ragged batches.
     */
    uint64_t reserved[16];
} softdot_call;

/*
 Done.
 */
#define SOFTDOT_OK 0

/*
 An argument is wrong: the message says which.
 */
#define SOFTDOT_INVALID_ARGUMENT 1

/*
 Memory cannot be had.
 */
#define SOFTDOT_OUT_OF_MEMORY 2

/*
 This CPU lacks the instruction set, or SOFTDOT_MAX_ISA names none.
 */
#define SOFTDOT_UNSUPPORTED 3

/*
 A workspace or packed keys are in use by another thread.
 */
#define SOFTDOT_BUSY 4

/*
 Threads cannot be started.
 */
#define SOFTDOT_NO_THREADS 5

/*
 A mistake of softdot's. What was to be written may be half-written.
 */
#define SOFTDOT_INTERNAL 6

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/*
 Computes the outputs of a call. If it fails, nothing has been written but the message.

 # Safety
 `call` points to a call whose pointers and counts are as its comments say; nothing else uses the
 memory of the outputs, and nothing writes to the rest, until it returns. `message` points to
 message_size bytes unless it is null.
 */
softdot_status softdot_attention(const softdot_call *call, char *message, size_t message_size);

/*
 Makes the workspace of a call large enough for it: softdot_attention with the same arguments then
 allocates nothing (with a pool, its queues may). Nothing is computed or written.

 # Safety
 As softdot_attention.
 */
softdot_status softdot_attention_reserve(const softdot_call *call,
                                         char *message,
                                         size_t message_size);

/*
 Writes how many bytes workspace_memory has to have for a call: with so many, softdot_attention with
 the same arguments allocates nothing (with a pool, its queues may). Nothing is computed.

 # Safety
 As softdot_attention; `bytes` points to a size_t.
 */
softdot_status softdot_attention_workspace_bytes(const softdot_call *call,
                                                 size_t *bytes,
                                                 char *message,
                                                 size_t message_size);

/*
 Writes which instruction set calls run on unless their options say otherwise.

 # Safety
 `isa` points to an int32_t, `message` to message_size bytes unless it is null.
 */
softdot_status softdot_isa_detected(int32_t *isa, char *message, size_t message_size);

/*
 Whether this CPU can run an instruction set: 1, or 0, as for numbers that are none's.
 */
int32_t softdot_isa_is_available(int32_t isa);

/*
 The name of an instruction set, "avx2" for example; null for numbers that are none's.
 */
const char *softdot_isa_name(int32_t isa);

/*
 Makes packed keys, none yet, and writes them to packed_keys. isa is what packs them, the same bits
 on each: SOFTDOT_ISA_DETECTED and so on.

 # Safety
 `packed_keys` points to a pointer, `message` to message_size bytes unless it is null.
 */
softdot_status softdot_packed_keys_create(int64_t batch,
                                          int64_t kv_heads,
                                          int64_t head_dim,
                                          int32_t isa,
                                          softdot_packed_keys **packed_keys,
                                          char *message,
                                          size_t message_size);

/*
 Appends keys [batch, kv_heads, new keys, head_dim] to every head. If it fails, nothing has changed.

 # Safety
 `packed_keys` came from softdot_packed_keys_create, `key` points to a view whose memory is there,
 `message` to message_size bytes unless it is null.
 */
softdot_status softdot_packed_keys_append(const softdot_packed_keys *packed_keys,
                                          const softdot_view *key,
                                          char *message,
                                          size_t message_size);

/*
 Makes room for so many more keys of every head, which are then appended without allocating.

 # Safety
 `packed_keys` came from softdot_packed_keys_create, `message` points to message_size bytes unless it
 is null.
 */
softdot_status softdot_packed_keys_reserve(const softdot_packed_keys *packed_keys,
                                           int64_t additional,
                                           char *message,
                                           size_t message_size);

/*
 Keeps the first keys of every head, so many; more than there are changes nothing.

 # Safety
 As softdot_packed_keys_reserve.
 */
softdot_status softdot_packed_keys_truncate(const softdot_packed_keys *packed_keys,
                                            int64_t length,
                                            char *message,
                                            size_t message_size);

/*
 Keys of each head; -1 for null, and while another thread appends.

 # Safety
 `packed_keys` is null or came from softdot_packed_keys_create and is not freed yet.
 */
int64_t softdot_packed_keys_length(const softdot_packed_keys *packed_keys);

/*
 Frees packed keys; null does nothing.

 # Safety
 `packed_keys` is null or came from softdot_packed_keys_create, and nothing uses them any more.
 */
void softdot_packed_keys_free(softdot_packed_keys *packed_keys);

/*
 Makes a pool of so many threads, 0 for one for each CPU (or RAYON_NUM_THREADS), and writes it to
 pool. A child of fork() has none of the threads: its calls with the pool are refused.

 # Safety
 `pool` points to a pointer, `message` to message_size bytes unless it is null.
 */
softdot_status softdot_pool_create(int64_t threads,
                                   softdot_pool **pool,
                                   char *message,
                                   size_t message_size);

/*
 Frees a pool, once its threads have ended; null does nothing.

 # Safety
 `pool` is null or came from softdot_pool_create, and nothing uses it any more.
 */
void softdot_pool_free(softdot_pool *pool);

/*
 Version of the interface that the library has: SOFTDOT_ABI_VERSION of its header.
 */
uint32_t softdot_abi_version(void);

/*
 Version of the library, "0.1.0" for example.
 */
const char *softdot_version(void);

/*
 Makes a workspace, which is empty, and writes it to workspace.

 # Safety
 `workspace` points to a pointer, `message` to message_size bytes unless it is null.
 */
softdot_status softdot_workspace_create(softdot_workspace **workspace,
                                        char *message,
                                        size_t message_size);

/*
 Bytes that a workspace holds; 0 for null, and while a call uses it.

 # Safety
 `workspace` is null or came from softdot_workspace_create and is not freed yet.
 */
size_t softdot_workspace_bytes(const softdot_workspace *workspace);

/*
 Frees a workspace; null does nothing.

 # Safety
 `workspace` is null or came from softdot_workspace_create, and nothing uses it any more.
 */
void softdot_workspace_free(softdot_workspace *workspace);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* SOFTDOT_H */
