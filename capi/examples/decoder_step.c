/* Steps of a decoder: each appends the key and value of a new token to a cache, and attends to it.
 *
 * 8 query heads on 2 key heads. Keys are kept packed; values are kept as [kv_heads, tokens, v_dim] in
 * memory for as many tokens as there may be. Once the workspace has grown, steps allocate nothing.
 */
#include <softdot.h>

#include <stdio.h>
#include <stdlib.h>

enum { Q_HEADS = 8, KV_HEADS = 2, HEAD_DIM = 64, V_DIM = 64, MAX_TOKENS = 256, TOKENS = 100 };

static char message[256];

static void expect_ok(softdot_status status) {
    if (status != SOFTDOT_OK) {
        fprintf(stderr, "softdot: %s\n", message);
        exit(1);
    }
}

/* What a model would compute. */
static void next_token(int token, float *query, float *key, float *value) {
    for (int i = 0; i < Q_HEADS * HEAD_DIM; i++)
        query[i] = (float)((i + token) % 13) / 13;
    for (int i = 0; i < KV_HEADS * HEAD_DIM; i++)
        key[i] = (float)((i * token) % 17) / 17;
    for (int head = 0; head < KV_HEADS; head++)
        for (int i = 0; i < V_DIM; i++)
            value[head * MAX_TOKENS * V_DIM + i] = (float)token;
}

int main(void) {
    static float query[Q_HEADS * HEAD_DIM], key[KV_HEADS * HEAD_DIM], output[Q_HEADS * V_DIM];
    static float values[KV_HEADS * MAX_TOKENS * V_DIM];
    softdot_packed_keys *keys;
    softdot_workspace *workspace;
    expect_ok(softdot_packed_keys_create(1, KV_HEADS, HEAD_DIM, SOFTDOT_ISA_DETECTED, &keys, message,
                                         sizeof message));
    expect_ok(softdot_packed_keys_reserve(keys, MAX_TOKENS, message, sizeof message));
    expect_ok(softdot_workspace_create(&workspace, message, sizeof message));

    const softdot_view query_view = {.data = query,
                                     .dtype = SOFTDOT_F32,
                                     .shape = {1, Q_HEADS, 1, HEAD_DIM},
                                     .strides = {0, HEAD_DIM, 0, 1}};
    const softdot_view key_view = {.data = key,
                                   .dtype = SOFTDOT_F32,
                                   .shape = {1, KV_HEADS, 1, HEAD_DIM},
                                   .strides = {0, HEAD_DIM, 0, 1}};
    softdot_view value_view = {.data = values,
                               .dtype = SOFTDOT_F32,
                               .shape = {1, KV_HEADS, 0, V_DIM},
                               .strides = {0, MAX_TOKENS * V_DIM, V_DIM, 1}};
    const softdot_target output_target = {.data = output,
                                          .dtype = SOFTDOT_F32,
                                          .shape = {1, Q_HEADS, 1, V_DIM},
                                          .strides = {0, V_DIM, 0, 1}};
    const softdot_outputs outputs = {.struct_size = sizeof outputs, .output = &output_target};
    const softdot_call step = {.struct_size = sizeof step,
                               .query = &query_view,
                               .packed_keys = keys,
                               .value = &value_view,
                               .outputs = &outputs,
                               .workspace = workspace};

    for (int token = 0; token < TOKENS; token++) {
        next_token(token, query, key, values + token * V_DIM);
        expect_ok(softdot_packed_keys_append(keys, &key_view, message, sizeof message));
        value_view.shape[2] = softdot_packed_keys_length(keys);
        expect_ok(softdot_attention(&step, message, sizeof message));
    }
    printf("softdot %s: after %lld tokens the output of head 0 is %.3f\n", softdot_version(),
           (long long)softdot_packed_keys_length(keys), output[0]);
    softdot_workspace_free(workspace);
    softdot_packed_keys_free(keys);
    return output[0] > 0 && output[0] < TOKENS ? 0 : 1;
}
