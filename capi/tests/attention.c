/* Results of the C interface against a plain computation, and every error path. */
#include "softdot.h"

#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 1, Q_HEADS = 4, KV_HEADS = 2, ROWS = 3, KEYS = 21, DIM = 8, COLUMNS = 5, K = 2 };

static int failures;
static char message[256];

#define CHECK(condition)                                                                  \
    do {                                                                                  \
        if (!(condition)) {                                                               \
            printf("%s:%d: expected %s (%s)\n", __FILE__, __LINE__, #condition, message); \
            failures++;                                                                   \
        }                                                                                 \
    } while (0)

static float query[Q_HEADS][ROWS][DIM], key[KV_HEADS][KEYS][DIM], value[KV_HEADS][KEYS][COLUMNS];
static float output[Q_HEADS][ROWS][COLUMNS], weights[Q_HEADS][ROWS][KEYS];
static double expected_output[Q_HEADS][ROWS][COLUMNS], expected_weights[Q_HEADS][ROWS][KEYS];
static double expected_lse[Q_HEADS][ROWS], expected_logits[Q_HEADS][ROWS][KEYS];

static softdot_view dense_view(const void *data, int64_t heads, int64_t rows, int64_t columns) {
    return (softdot_view){
        .data = data,
        .dtype = SOFTDOT_F32,
        .shape = {1, heads, rows, columns},
        .strides = {heads * rows * columns, rows * columns, columns, 1},
    };
}

static softdot_target dense_target(void *data, int32_t dtype, int64_t heads, int64_t rows,
                                   int64_t columns) {
    return (softdot_target){
        .data = data,
        .dtype = dtype,
        .shape = {1, heads, rows, columns},
        .strides = {heads * rows * columns, rows * columns, columns, 1},
    };
}

/* An array of arrays as one. */
#define FLAT(type, array) ((type *)(void *)(array))

static void fill(float *data, size_t count, unsigned seed) {
    for (size_t i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        data[i] = (float)(seed >> 8) / (float)(1 << 24) * 2 - 1;
    }
}

/* What options change in the plain computation. */
typedef struct {
    double scale, softcap;
    const float *bias, *slopes, *sinks;
    const uint8_t *mask;
    bool causal;
    int window_left, length;
} plain;

/* Rows stand as with SOFTDOT_CAUSAL_BOTTOM_RIGHT; bias is [ROWS, KEYS], mask is [KEYS]. */
static void compute_plain(const plain *p) {
    for (int h = 0; h < Q_HEADS; h++) {
        for (int i = 0; i < ROWS; i++) {
            int kv = h / (Q_HEADS / KV_HEADS), position = p->length - ROWS + i;
            double sum = p->sinks ? exp(p->sinks[h]) : 0;
            for (int j = 0; j < KEYS; j++) {
                double logit = 0;
                for (int d = 0; d < DIM; d++)
                    logit += (double)query[h][i][d] * key[kv][j][d];
                logit *= p->scale;
                if (p->softcap > 0)
                    logit = p->softcap * tanh(logit / p->softcap);
                if (p->bias)
                    logit += p->bias[i * KEYS + j];
                if (p->slopes)
                    logit += (double)p->slopes[h] * (j - position);
                if (j >= p->length || (p->mask && !p->mask[j]) || (p->causal && j > position) ||
                    (p->window_left >= 0 && j < position - p->window_left))
                    logit = -INFINITY;
                expected_logits[h][i][j] = logit;
                sum += exp(logit);
            }
            expected_lse[h][i] = log(sum);
            memset(expected_output[h][i], 0, sizeof expected_output[h][i]);
            for (int j = 0; j < KEYS; j++) {
                double weight = exp(expected_logits[h][i][j]) / sum;
                expected_weights[h][i][j] = weight;
                for (int c = 0; c < COLUMNS; c++)
                    expected_output[h][i][c] += weight * value[kv][j][c];
            }
        }
    }
}

static bool is_close(const float *found, const double *expected, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (!(found[i] == expected[i] || fabs(found[i] - expected[i]) < 2e-5))
            return false;
    return true;
}

/* A call with the arrays above, for output and weights. */
typedef struct {
    softdot_view query, key, value;
    softdot_target output, weights;
    softdot_options options;
    softdot_outputs outputs;
    softdot_call call;
} fixture;

static void set_up(fixture *f) {
    memset(f, 0, sizeof *f);
    memset(output, 0, sizeof output);
    memset(weights, 0, sizeof weights);
    f->query = dense_view(query, Q_HEADS, ROWS, DIM);
    f->key = dense_view(key, KV_HEADS, KEYS, DIM);
    f->value = dense_view(value, KV_HEADS, KEYS, COLUMNS);
    f->output = dense_target(output, SOFTDOT_F32, Q_HEADS, ROWS, COLUMNS);
    f->weights = dense_target(weights, SOFTDOT_F32, Q_HEADS, ROWS, KEYS);
    f->options.struct_size = sizeof f->options;
    f->outputs.struct_size = sizeof f->outputs;
    f->outputs.output = &f->output;
    f->outputs.weights = &f->weights;
    f->call.struct_size = sizeof f->call;
    f->call.query = &f->query;
    f->call.key = &f->key;
    f->call.value = &f->value;
    f->call.options = &f->options;
    f->call.outputs = &f->outputs;
}

static softdot_status run(const fixture *f) {
    return softdot_attention(&f->call, message, sizeof message);
}

static const double DEFAULT_SCALE = 0.35355339059327373; /* 1 / sqrt(DIM) */

static void check_results(void) {
    CHECK(is_close(FLAT(float, output), FLAT(double, expected_output), Q_HEADS * ROWS * COLUMNS));
    CHECK(is_close(FLAT(float, weights), FLAT(double, expected_weights), Q_HEADS * ROWS * KEYS));
}

static void defaults(void) {
    fixture f;
    set_up(&f);
    compute_plain(&(plain){.scale = DEFAULT_SCALE, .window_left = -1, .length = KEYS});
    f.call.options = NULL;
    CHECK(run(&f) == SOFTDOT_OK && message[0] == 0);
    check_results();
}

/* All options but the window and sinks in one call, those in another. */
static void options(void) {
    static float bias[ROWS][KEYS];
    static uint8_t mask[KEYS];
    const float slopes[Q_HEADS] = {0.5f, 0.25f, 0.125f, 0.0625f}, sinks[Q_HEADS] = {0, 1, 2, -1};
    const size_t lengths[BATCH] = {KEYS - 2};
    fill(FLAT(float, bias), ROWS * KEYS, 4);
    for (int j = 0; j < KEYS; j++)
        mask[j] = j % 3 ? 7 : 0;
    softdot_view bias_view = dense_view(bias, 1, ROWS, KEYS);
    softdot_view mask_view = dense_view(mask, 1, 1, KEYS);
    mask_view.dtype = SOFTDOT_U8;
    fixture f;
    set_up(&f);
    f.options.flags = SOFTDOT_SCALE;
    f.options.scale = 0.75f;
    f.options.softcap = 2;
    f.options.causal = SOFTDOT_CAUSAL_BOTTOM_RIGHT;
    f.options.bias = &bias_view;
    f.options.mask = &mask_view;
    f.options.alibi_slopes = slopes;
    f.options.alibi_slopes_count = Q_HEADS;
    f.options.key_lengths = lengths;
    f.options.key_lengths_count = BATCH;
    compute_plain(&(plain){.scale = 0.75, .softcap = 2, .bias = FLAT(float, bias), .mask = mask,
                           .slopes = slopes, .causal = true, .window_left = -1,
                           .length = KEYS - 2});
    for (int32_t isa = SOFTDOT_ISA_DETECTED; isa <= SOFTDOT_ISA_AVX512; isa++) {
        f.options.isa = isa;
        if (isa == SOFTDOT_ISA_DETECTED || softdot_isa_is_available(isa)) {
            memset(output, 0, sizeof output);
            CHECK(run(&f) == SOFTDOT_OK);
            check_results();
        } else {
            CHECK(run(&f) == SOFTDOT_UNSUPPORTED && strstr(message, softdot_isa_name(isa)));
        }
    }

    set_up(&f);
    f.options.flags = SOFTDOT_WINDOW_LEFT | SOFTDOT_WINDOW_RIGHT;
    f.options.window_left = 4;
    f.options.sinks = sinks;
    f.options.sinks_count = Q_HEADS;
    compute_plain(&(plain){.scale = DEFAULT_SCALE, .sinks = sinks, .causal = true,
                           .window_left = 4, .length = KEYS});
    CHECK(run(&f) == SOFTDOT_OK);
    check_results();

    f.options = (softdot_options){.struct_size = sizeof f.options,
                                  .causal = SOFTDOT_CAUSAL_OFFSET,
                                  .causal_offset = KEYS - ROWS};
    compute_plain(
        &(plain){.scale = DEFAULT_SCALE, .causal = true, .window_left = -1, .length = KEYS});
    CHECK(run(&f) == SOFTDOT_OK);
    check_results();
}

/* Every output in one call, each against the weights. */
static void outputs(void) {
    static float lse[Q_HEADS][ROWS], of_heads[2][ROWS][KEYS], logits[Q_HEADS][ROWS][KEYS];
    static float max_logit[Q_HEADS][ROWS], max_weight[Q_HEADS][ROWS], entropy[Q_HEADS][ROWS];
    static float top_weights[Q_HEADS][ROWS][K], key_max[KV_HEADS][KEYS];
    static int64_t max_key[Q_HEADS][ROWS], top_keys[Q_HEADS][ROWS][K];
    static double key_mass[Q_HEADS][KEYS];
    const size_t heads[2] = {3, 0};
    fixture f;
    set_up(&f);
    softdot_target lse_target = dense_target(lse, SOFTDOT_F32, Q_HEADS, ROWS, 1);
    softdot_target of_heads_target = dense_target(of_heads, SOFTDOT_F32, 2, ROWS, KEYS);
    softdot_target logits_target = dense_target(logits, SOFTDOT_F32, Q_HEADS, ROWS, KEYS);
    softdot_target max_logit_target = dense_target(max_logit, SOFTDOT_F32, Q_HEADS, ROWS, 1);
    softdot_target max_weight_target = dense_target(max_weight, SOFTDOT_F32, Q_HEADS, ROWS, 1);
    softdot_target max_key_target = dense_target(max_key, SOFTDOT_I64, Q_HEADS, ROWS, 1);
    softdot_target entropy_target = dense_target(entropy, SOFTDOT_F32, Q_HEADS, ROWS, 1);
    softdot_target top_weights_target = dense_target(top_weights, SOFTDOT_F32, Q_HEADS, ROWS, K);
    softdot_target top_keys_target = dense_target(top_keys, SOFTDOT_I64, Q_HEADS, ROWS, K);
    softdot_target key_mass_target = dense_target(key_mass, SOFTDOT_F64, Q_HEADS, 1, KEYS);
    softdot_target key_max_target = dense_target(key_max, SOFTDOT_F32, KV_HEADS, 1, KEYS);
    f.outputs.lse = &lse_target;
    f.outputs.weights_of_heads = &of_heads_target;
    f.outputs.heads = heads;
    f.outputs.heads_count = 2;
    f.outputs.logits = &logits_target;
    f.outputs.logits_stage = SOFTDOT_LOGITS_BIASED;
    f.outputs.max_logit = &max_logit_target;
    f.outputs.max_weight = &max_weight_target;
    f.outputs.max_weight_key = &max_key_target;
    f.outputs.entropy = &entropy_target;
    f.outputs.top_k_weights = &top_weights_target;
    f.outputs.top_k_keys = &top_keys_target;
    f.outputs.key_mass = &key_mass_target;
    f.outputs.key_max = &key_max_target;
    f.outputs.flags = SOFTDOT_MASS_ROWS;
    f.outputs.mass_rows_begin = 1;
    f.outputs.mass_rows_end = ROWS;
    compute_plain(&(plain){.scale = DEFAULT_SCALE, .window_left = -1, .length = KEYS});
    CHECK(run(&f) == SOFTDOT_OK);
    check_results();
    CHECK(is_close(FLAT(float, lse), FLAT(double, expected_lse), Q_HEADS * ROWS));
    CHECK(is_close(FLAT(float, logits), FLAT(double, expected_logits), Q_HEADS * ROWS * KEYS));
    CHECK(memcmp(of_heads[0], weights[3], sizeof weights[3]) == 0);
    CHECK(memcmp(of_heads[1], weights[0], sizeof weights[0]) == 0);
    for (int h = 0; h < Q_HEADS; h++) {
        for (int i = 0; i < ROWS; i++) {
            const float *row = weights[h][i];
            int best = 0;
            double information = 0;
            for (int j = 0; j < KEYS; j++) {
                best = row[j] > row[best] ? j : best;
                information -= row[j] * log(row[j]);
            }
            int second = best == 0;
            for (int j = 0; j < KEYS; j++)
                second = j != best && row[j] > row[second] ? j : second;
            CHECK(max_key[h][i] == best && max_weight[h][i] == row[best]);
            CHECK(fabs(max_logit[h][i] - expected_logits[h][i][best]) < 1e-5);
            CHECK(fabs(entropy[h][i] - information) < 1e-4);
            CHECK(top_keys[h][i][0] == best && top_keys[h][i][1] == second);
            CHECK(top_weights[h][i][0] == row[best] && top_weights[h][i][1] == row[second]);
        }
        for (int j = 0; j < KEYS; j++)
            CHECK(fabs(key_mass[h][j] - weights[h][1][j] - weights[h][2][j]) < 1e-6);
    }
    for (int j = 0; j < KEYS; j++)
        CHECK(key_max[1][j] == fmaxf(fmaxf(weights[2][1][j], weights[2][2][j]),
                                     fmaxf(weights[3][1][j], weights[3][2][j])));
}

/* bfloat16 is the upper half of a float; 1 in binary16 is 0x3c00. */
static void narrow_types(void) {
    static uint16_t narrow_query[Q_HEADS][ROWS][DIM], ones[KV_HEADS][KEYS][COLUMNS];
    static uint16_t narrow_output[Q_HEADS][ROWS][COLUMNS];
    fixture f;
    set_up(&f);
    for (int i = 0; i < Q_HEADS * ROWS * DIM; i++) {
        uint32_t bits;
        memcpy(&bits, FLAT(float, query) + i, sizeof bits);
        FLAT(uint16_t, narrow_query)[i] = (uint16_t)(bits >> 16);
        bits &= 0xffff0000u;
        memcpy(FLAT(float, query) + i, &bits, sizeof bits);
    }
    for (int i = 0; i < KV_HEADS * KEYS * COLUMNS; i++)
        FLAT(uint16_t, ones)[i] = 0x3c00;
    CHECK(run(&f) == SOFTDOT_OK);
    static float wide[Q_HEADS][ROWS][KEYS];
    memcpy(wide, weights, sizeof wide);
    memset(weights, 0, sizeof weights);
    f.query.data = narrow_query;
    f.query.dtype = SOFTDOT_BF16;
    f.value.data = ones;
    f.value.dtype = SOFTDOT_F16;
    f.output.data = narrow_output;
    f.output.dtype = SOFTDOT_F16;
    CHECK(run(&f) == SOFTDOT_OK);
    CHECK(memcmp(wide, weights, sizeof wide) == 0);
    for (int i = 0; i < Q_HEADS * ROWS * COLUMNS; i++) {
        uint16_t found = FLAT(uint16_t, narrow_output)[i];
        CHECK(found >= 0x3bff && found <= 0x3c00);
    }
}

/* Heads interleaved, a guard between the rows: what is between elements stays. */
static void strides(void) {
    static float padded[ROWS][Q_HEADS][COLUMNS + 1];
    fixture f;
    set_up(&f);
    CHECK(run(&f) == SOFTDOT_OK);
    for (int i = 0; i < ROWS * Q_HEADS * (COLUMNS + 1); i++)
        FLAT(float, padded)[i] = 99;
    f.output.data = padded;
    f.output.strides[1] = COLUMNS + 1;
    f.output.strides[2] = Q_HEADS * (COLUMNS + 1);
    CHECK(run(&f) == SOFTDOT_OK);
    for (int h = 0; h < Q_HEADS; h++)
        for (int i = 0; i < ROWS; i++) {
            CHECK(memcmp(padded[i][h], output[h][i], sizeof output[h][i]) == 0);
            CHECK(padded[i][h][COLUMNS] == 99);
        }
}

static void workspaces(void) {
    softdot_workspace *workspace = NULL;
    CHECK(softdot_workspace_create(&workspace, message, sizeof message) == SOFTDOT_OK);
    CHECK(softdot_workspace_bytes(workspace) == 0);
    fixture f;
    set_up(&f);
    CHECK(softdot_attention_reserve(&f.call, NULL, 0) == SOFTDOT_INVALID_ARGUMENT);
    f.call.workspace = workspace;
    CHECK(softdot_attention_reserve(&f.call, message, sizeof message) == SOFTDOT_OK);
    size_t bytes = softdot_workspace_bytes(workspace);
    CHECK(bytes > 0 && output[0][0][0] == 0 && weights[0][0][0] == 0);
    compute_plain(&(plain){.scale = DEFAULT_SCALE, .window_left = -1, .length = KEYS});
    CHECK(run(&f) == SOFTDOT_OK && softdot_workspace_bytes(workspace) == bytes);
    check_results();
    softdot_workspace_free(workspace);
    softdot_workspace_free(NULL);
    CHECK(softdot_workspace_bytes(NULL) == 0);
    CHECK(softdot_workspace_create(NULL, message, sizeof message) == SOFTDOT_INVALID_ARGUMENT);
}

/* Memory of the caller's, of the size that is asked for, at an odd address, and not set to 0. */
static void workspace_memory(void) {
    fixture f;
    set_up(&f);
    size_t bytes = 0;
    CHECK(softdot_attention_workspace_bytes(&f.call, &bytes, message, sizeof message) ==
          SOFTDOT_OK);
    CHECK(bytes > 0 && output[0][0][0] == 0 && weights[0][0][0] == 0);
    char *memory = malloc(bytes + sizeof(float) + 1);
    if (!memory)
        exit(2);
    memory[bytes + sizeof(float)] = 77;
    f.call.workspace_memory = memory + sizeof(float);
    f.call.workspace_bytes = bytes;
    compute_plain(&(plain){.scale = DEFAULT_SCALE, .window_left = -1, .length = KEYS});
    CHECK(run(&f) == SOFTDOT_OK && memory[bytes + sizeof(float)] == 77);
    check_results();

    set_up(&f);
    f.call.workspace_memory = memory;
    f.call.workspace_bytes = bytes - sizeof(float);
    CHECK(run(&f) == SOFTDOT_INVALID_ARGUMENT && strncmp(message, "workspace: ", 11) == 0);
    CHECK(output[0][0][0] == 0 && weights[0][0][0] == 0);
    f.call.workspace_memory = memory + 1;
    CHECK(run(&f) == SOFTDOT_INVALID_ARGUMENT);
    CHECK(strncmp(message, "workspace_memory: expected an address", 37) == 0);
    f.call.workspace_memory = weights;
    f.call.workspace_bytes = sizeof weights;
    CHECK(run(&f) == SOFTDOT_INVALID_ARGUMENT);
    CHECK(strcmp(message, "workspace_memory: expected memory of its own, found some that overlaps "
                          "weights") == 0);
    f.call.workspace_memory = query;
    CHECK(run(&f) == SOFTDOT_INVALID_ARGUMENT && strstr(message, "overlaps query"));
    f.call.workspace_memory = NULL;
    CHECK(run(&f) == SOFTDOT_INVALID_ARGUMENT && strstr(message, "found null"));
    f.call.workspace_bytes = SIZE_MAX;
    CHECK(run(&f) == SOFTDOT_INVALID_ARGUMENT);
    f.call.workspace_bytes = 0;
    CHECK(softdot_attention_workspace_bytes(&f.call, NULL, message, sizeof message) ==
          SOFTDOT_INVALID_ARGUMENT);
    f.call.query = NULL;
    bytes = 1;
    CHECK(softdot_attention_workspace_bytes(&f.call, &bytes, message, sizeof message) ==
          SOFTDOT_INVALID_ARGUMENT);
    CHECK(bytes == 1);

    softdot_workspace *workspace = NULL;
    CHECK(softdot_workspace_create(&workspace, message, sizeof message) == SOFTDOT_OK);
    set_up(&f);
    f.call.workspace = workspace;
    f.call.workspace_memory = memory;
    f.call.workspace_bytes = bytes;
    CHECK(run(&f) == SOFTDOT_INVALID_ARGUMENT);
    CHECK(strcmp(message, "workspace_memory: expected null with workspace") == 0);
    softdot_workspace_free(workspace);
    free(memory);
}

/* A host's loop over indices, in one of these ways. */
typedef struct {
    enum { ON_THREADS, ASCENDING, DESCENDING, NOT_AT_ALL, TOO_OFTEN } way;
    int64_t calls;
} host;

typedef struct {
    softdot_body body;
    void *work;
    int64_t index;
} iteration;

static void *iterate(void *argument) {
    const iteration *own = argument;
    own->body(own->work, own->index);
    return NULL;
}

static void on_threads(int64_t count, softdot_body body, void *work) {
    enum { MOST = 8 };
    pthread_t threads[MOST];
    iteration iterations[MOST];
    if (count > MOST)
        exit(2);
    for (int64_t i = 0; i < count; i++) {
        iterations[i] = (iteration){body, work, i};
        if (pthread_create(&threads[i], NULL, iterate, &iterations[i]) != 0)
            exit(2);
    }
    for (int64_t i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
}

static void parallel_for(void *context, int64_t count, softdot_body body, void *work) {
    host *own = context;
    own->calls++;
    switch (own->way) {
    case ON_THREADS:
        on_threads(count, body, work);
        break;
    case ASCENDING:
        for (int64_t i = 0; i < count; i++)
            body(work, i);
        break;
    case DESCENDING:
        for (int64_t i = count; i-- > 0;)
            body(work, i);
        break;
    case NOT_AT_ALL:
        break;
    case TOO_OFTEN:
        for (int64_t i = 0; i < 3 * count; i++)
            body(work, i - count);
        break;
    }
}

/* A call that is large enough to be shared: on one thread, on a pool, on the host's threads. */
static void threads(void) {
    enum { LARGE_ROWS = 24, LARGE_KEYS = 1100, LARGE_DIM = 48 };
    size_t count = LARGE_ROWS * LARGE_KEYS;
    float *queries = malloc(LARGE_ROWS * LARGE_DIM * sizeof *queries);
    float *keys = malloc(LARGE_KEYS * LARGE_DIM * sizeof *keys);
    float *serial = malloc(count * sizeof *serial), *shared = malloc(count * sizeof *shared);
    if (!queries || !keys || !serial || !shared)
        exit(2);
    fill(queries, LARGE_ROWS * LARGE_DIM, 5);
    fill(keys, LARGE_KEYS * LARGE_DIM, 6);
    fixture f;
    set_up(&f);
    f.query = dense_view(queries, 1, LARGE_ROWS, LARGE_DIM);
    f.key = dense_view(keys, 1, LARGE_KEYS, LARGE_DIM);
    f.call.value = NULL;
    f.outputs.output = NULL;
    f.weights = dense_target(serial, SOFTDOT_F32, 1, LARGE_ROWS, LARGE_KEYS);
    CHECK(run(&f) == SOFTDOT_OK);
    f.weights.data = shared;

    softdot_pool *pool = NULL;
    CHECK(softdot_pool_create(-1, &pool, message, sizeof message) == SOFTDOT_INVALID_ARGUMENT);
    CHECK(softdot_pool_create(5000, &pool, message, sizeof message) == SOFTDOT_INVALID_ARGUMENT);
    CHECK(strcmp(message, "threads: expected 0 to 1024, found 5000") == 0 && !pool);
    CHECK(softdot_pool_create(3, &pool, message, sizeof message) == SOFTDOT_OK);
    f.call.pool = pool;
    CHECK(run(&f) == SOFTDOT_OK);
    CHECK(memcmp(serial, shared, count * sizeof *serial) == 0);
    f.call.parallel_for = parallel_for;
    f.call.parallel_for_threads = 4;
    CHECK(run(&f) == SOFTDOT_INVALID_ARGUMENT);
    CHECK(strcmp(message, "parallel_for: expected null with pool") == 0);
    f.call.pool = NULL;

    for (int way = ON_THREADS; way <= TOO_OFTEN; way++) {
        host own = {.way = way};
        f.call.parallel_for_context = &own;
        memset(shared, 0, count * sizeof *shared);
        CHECK(run(&f) == SOFTDOT_OK && own.calls == 1);
        CHECK(memcmp(serial, shared, count * sizeof *serial) == 0);
    }
    softdot_pool_free(pool);
    softdot_pool_free(NULL);
    free(queries);
    free(keys);
    free(serial);
    free(shared);
}

static void packed_keys(void) {
    softdot_packed_keys *packed = NULL;
    fixture f;
    set_up(&f);
    CHECK(run(&f) == SOFTDOT_OK);
    static float expected[Q_HEADS][ROWS][KEYS];
    memcpy(expected, weights, sizeof expected);
    CHECK(softdot_packed_keys_create(1, -2, DIM, 0, &packed, message, sizeof message) ==
          SOFTDOT_INVALID_ARGUMENT);
    CHECK(softdot_packed_keys_create(1, 2, DIM, 9, &packed, message, sizeof message) ==
          SOFTDOT_INVALID_ARGUMENT);
    CHECK(!packed);
    CHECK(softdot_packed_keys_create(1, KV_HEADS, DIM, SOFTDOT_ISA_DETECTED, &packed, message,
                                     sizeof message) == SOFTDOT_OK);
    CHECK(softdot_packed_keys_length(packed) == 0 && softdot_packed_keys_length(NULL) == -1);
    CHECK(softdot_packed_keys_reserve(packed, -1, message, sizeof message) ==
          SOFTDOT_INVALID_ARGUMENT);
    CHECK(softdot_packed_keys_reserve(packed, INT64_MAX, message, sizeof message) ==
          SOFTDOT_INVALID_ARGUMENT);
    CHECK(softdot_packed_keys_reserve(packed, KEYS, message, sizeof message) == SOFTDOT_OK);
    for (int i = 0; i < 2; i++)
        CHECK(softdot_packed_keys_append(packed, &f.key, message, sizeof message) == SOFTDOT_OK);
    CHECK(softdot_packed_keys_length(packed) == 2 * KEYS);
    CHECK(softdot_packed_keys_append(packed, NULL, message, sizeof message) ==
          SOFTDOT_INVALID_ARGUMENT);
    CHECK(softdot_packed_keys_append(packed, &f.query, message, sizeof message) ==
          SOFTDOT_INVALID_ARGUMENT);
    CHECK(strcmp(message, "key: expected 2 heads (as the packed keys), found 4") == 0);
    CHECK(softdot_packed_keys_truncate(packed, -1, message, sizeof message) ==
          SOFTDOT_INVALID_ARGUMENT);
    CHECK(softdot_packed_keys_truncate(packed, KEYS, message, sizeof message) == SOFTDOT_OK);
    f.call.packed_keys = packed;
    CHECK(run(&f) == SOFTDOT_INVALID_ARGUMENT);
    f.call.key = NULL;
    memset(weights, 0, sizeof weights);
    CHECK(run(&f) == SOFTDOT_OK);
    CHECK(memcmp(expected, weights, sizeof expected) == 0);
    softdot_packed_keys_free(packed);
    softdot_packed_keys_free(NULL);
}

/* A refused call says why, and has written nothing. */
static void expect_refused(const fixture *f, const char *why) {
    softdot_status status = run(f);
    if (status != SOFTDOT_INVALID_ARGUMENT || strncmp(message, why, strlen(why)) != 0) {
        printf("expected \"%s...\", found %d, \"%s\"\n", why, (int)status, message);
        failures++;
    }
    for (int i = 0; i < Q_HEADS * ROWS * COLUMNS; i++)
        CHECK(FLAT(float, output)[i] == 0);
    for (int i = 0; i < Q_HEADS * ROWS * KEYS; i++)
        CHECK(FLAT(float, weights)[i] == 0);
}

#define REFUSED(change, why)     \
    do {                         \
        fixture f;               \
        set_up(&f);              \
        change;                  \
        expect_refused(&f, why); \
    } while (0)

static void errors(void) {
    const float floats[Q_HEADS] = {0};
    const size_t length = KEYS + 1, head = Q_HEADS;
    CHECK(softdot_attention(NULL, message, sizeof message) == SOFTDOT_INVALID_ARGUMENT);
    CHECK(strcmp(message, "call: expected a pointer, found null") == 0);
    /* Null. */
    REFUSED(f.call.query = NULL, "query: expected a pointer");
    REFUSED(f.call.key = NULL, "key: expected a pointer");
    REFUSED(f.call.value = NULL, "value: expected values");
    REFUSED(f.call.outputs = NULL, "outputs: expected a pointer");
    REFUSED(f.query.data = NULL, "query: expected a pointer");
    REFUSED(f.output.data = NULL, "output: expected a pointer");
    REFUSED(f.options.sinks_count = Q_HEADS, "sinks: expected a pointer");
    REFUSED(f.outputs.top_k_weights = &f.weights, "top_k_keys: expected a pointer");
    REFUSED(f.outputs.weights_of_heads = &f.weights, "heads: expected a pointer");
    /* Misaligned. */
    REFUSED(f.query.data = (const char *)f.query.data + 2, "query: expected an address");
    REFUSED(f.weights.data = (char *)f.weights.data + 1, "weights: expected an address");
    REFUSED(f.call.options = (const softdot_options *)((const char *)&f.options + 4),
            "options: expected an address");
    REFUSED(f.call.key = (const softdot_view *)((const char *)&f.key + 4),
            "key: expected an address");
    /* Sizes and reserved room. */
    REFUSED(f.call.struct_size = 0, "call: expected a struct_size");
    REFUSED(f.call.struct_size = sizeof f.call - 1, "call: expected a struct_size");
    REFUSED(f.outputs.struct_size = SIZE_MAX, "outputs: expected a struct_size");
    REFUSED(f.options.struct_size = 4097, "options: expected a struct_size");
    REFUSED(f.call.reserved[7] = 1, "call: expected 0 in what is reserved");
    REFUSED(f.outputs.reserved[0] = 1, "outputs: expected 0 in what is reserved");
    REFUSED(f.options.reserved_word = 1, "options: expected 0 in what is reserved");
    REFUSED(f.options.reserved[3] = 1, "options: expected 0 in what is reserved");
    REFUSED(f.query.reserved = 1, "query: expected 0 in what is reserved");
    REFUSED(f.output.reserved = 1, "output: expected 0 in what is reserved");
    /* Extents and strides. */
    REFUSED(f.key.shape[2] = -3, "key: expected extents of at least 0, found -3 on axis 2");
    REFUSED(f.value.strides[2] = -1, "value: expected strides of at least 0, found -1");
    REFUSED(f.query.shape[1] = INT64_MAX, "query: expected extents whose product");
    REFUSED(f.key.strides[2] = INT64_MAX, "key: expected extents whose product");
    REFUSED((f.query.shape[2] = INT64_MAX, f.query.strides[2] = 0), "query: expected extents");
    REFUSED(f.key.shape[3] = DIM - 1, "key: expected 8 columns (head_dim)");
    REFUSED(f.weights.shape[3] = KEYS - 1, "weights: expected 21 columns (keys)");
    REFUSED(f.weights.strides[2] = 1, "weights: expected strides that keep elements apart");
    /* Element types. */
    REFUSED(f.query.dtype = 0, "query: expected the dtype SOFTDOT_F32");
    REFUSED(f.output.dtype = SOFTDOT_F64, "output: expected the dtype SOFTDOT_F32");
    REFUSED(f.options.mask = &f.query, "mask: expected the dtype SOFTDOT_U8");
    REFUSED(f.outputs.key_mass = &f.output, "key_mass: expected the dtype SOFTDOT_F64");
    REFUSED(f.outputs.max_weight_key = &f.output, "max_weight_key: expected the dtype SOFTDOT_I64");
    /* Memory that is written and used otherwise. */
    REFUSED(f.weights.data = output, "weights: expected memory of its own");
    REFUSED(f.output.data = value, "output: expected memory of its own");
    REFUSED((f.options.sinks = weights[0][1], f.options.sinks_count = Q_HEADS),
            "weights: expected memory of its own");
    /* Options. */
    REFUSED((f.options.flags = SOFTDOT_SCALE, f.options.scale = NAN), "scale: expected a finite");
    REFUSED(f.options.scale = 1, "scale: expected 0 without SOFTDOT_SCALE");
    REFUSED(f.options.window_left = 1, "window_left: expected 0 without");
    REFUSED(f.options.window_right = 1, "window_right: expected 0 without");
    REFUSED((f.options.flags = SOFTDOT_WINDOW_LEFT, f.options.window_left = -1),
            "window_left: expected at least 0");
    REFUSED(f.options.flags = 8, "options.flags: expected");
    REFUSED(f.options.softcap = NAN, "softcap: expected a finite number above 0");
    REFUSED(f.options.softcap = -1, "softcap: expected a finite number above 0");
    REFUSED(f.options.causal = 4, "causal: expected one of");
    REFUSED(f.options.causal_offset = 1, "causal_offset: expected 0");
    REFUSED(f.options.isa = -1, "isa: expected one of");
    REFUSED((f.options.sinks = floats, f.options.sinks_count = 3), "sinks: expected one");
    REFUSED((f.options.alibi_slopes = floats, f.options.alibi_slopes_count = SIZE_MAX),
            "alibi_slopes: expected a size that fits");
    REFUSED((f.options.key_lengths = &length, f.options.key_lengths_count = 1),
            "key_lengths: expected at most 21");
    /* The host's threads. */
    REFUSED(f.call.parallel_for_threads = 1, "parallel_for_context, parallel_for_threads: expected");
    REFUSED(f.call.parallel_for_context = &f, "parallel_for_context, parallel_for_threads: expected");
    REFUSED(f.call.parallel_for = parallel_for, "parallel_for_threads: expected 1 to 1024, found 0");
    REFUSED((f.call.parallel_for = parallel_for, f.call.parallel_for_threads = 1025),
            "parallel_for_threads: expected 1 to 1024, found 1025");
    /* Outputs. */
    static float more[ROWS * KEYS];
    softdot_target more_target = dense_target(more, SOFTDOT_F32, 1, ROWS, KEYS);
    REFUSED((f.outputs.heads = &head, f.outputs.heads_count = 1,
             f.outputs.weights_of_heads = &more_target),
            "weights_of_heads: expected query heads below 4");
    REFUSED(f.outputs.logits_stage = 1, "logits_stage: expected 0 without logits");
    REFUSED(f.outputs.logits = &more_target, "logits_stage: expected one of");
    REFUSED(f.outputs.flags = 2, "outputs.flags: expected");
    REFUSED(f.outputs.mass_rows_end = 2, "mass_rows_begin, mass_rows_end: expected 0");
    REFUSED((f.outputs.flags = SOFTDOT_MASS_ROWS, f.outputs.mass_rows_end = -2),
            "mass_rows_end: expected at least 0");
    REFUSED((f.outputs.flags = SOFTDOT_MASS_ROWS, f.outputs.mass_rows_end = ROWS + 1),
            "mass_rows: expected an ascending range");
}

/* Longer structs of newer versions are taken if what they have more is 0. */
static void newer_structs(void) {
    struct {
        softdot_call call;
        uint64_t more;
    } newer;
    fixture f;
    set_up(&f);
    memset(&newer, 0, sizeof newer);
    newer.call = f.call;
    newer.call.struct_size = sizeof newer;
    CHECK(softdot_attention(&newer.call, message, sizeof message) == SOFTDOT_OK);
    newer.more = 1;
    CHECK(softdot_attention(&newer.call, message, sizeof message) == SOFTDOT_INVALID_ARGUMENT);
}

static void messages(void) {
    char small[8];
    memset(small, 'x', sizeof small);
    CHECK(softdot_attention(NULL, small, 6) == SOFTDOT_INVALID_ARGUMENT);
    CHECK(strcmp(small, "call:") == 0 && small[6] == 'x');
    CHECK(softdot_attention(NULL, small, 0) == SOFTDOT_INVALID_ARGUMENT);
    CHECK(softdot_attention(NULL, NULL, 6) == SOFTDOT_INVALID_ARGUMENT);
}

static void empty_arguments(void) {
    fixture f;
    set_up(&f);
    f.query.shape[2] = f.output.shape[2] = f.weights.shape[2] = 0;
    f.query.data = NULL;
    f.output.data = f.weights.data = NULL;
    CHECK(run(&f) == SOFTDOT_OK);
}

static void versions(void) {
    int32_t isa = -1;
    CHECK(softdot_abi_version() == SOFTDOT_ABI_VERSION && softdot_version()[0] != 0);
    CHECK(softdot_isa_detected(&isa, message, sizeof message) == SOFTDOT_OK);
    CHECK(softdot_isa_is_available(isa) == 1 && softdot_isa_name(isa));
    CHECK(softdot_isa_detected(NULL, message, sizeof message) == SOFTDOT_INVALID_ARGUMENT);
    CHECK(softdot_isa_is_available(77) == 0 && !softdot_isa_name(77));
}

int main(void) {
    fill(FLAT(float, query), Q_HEADS * ROWS * DIM, 1);
    fill(FLAT(float, key), KV_HEADS * KEYS * DIM, 2);
    fill(FLAT(float, value), KV_HEADS * KEYS * COLUMNS, 3);
    defaults();
    options();
    outputs();
    strides();
    workspaces();
    workspace_memory();
    threads();
    packed_keys();
    errors();
    newer_structs();
    messages();
    empty_arguments();
    versions();
    narrow_types();
    printf("%d failures\n", failures);
    return failures != 0;
}
