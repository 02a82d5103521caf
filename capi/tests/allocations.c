/* A call whose workspace is reserved, or the caller's memory, allocates nothing. Counted where glibc lets malloc be replaced:
 * these functions are what the library allocates with, too. */
#include "softdot.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

static atomic_int allocations;

void *malloc(size_t size) {
    allocations++;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
    allocations++;
    return __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size) {
    allocations++;
    return __libc_realloc(memory, size);
}

int posix_memalign(void **memory, size_t alignment, size_t size) {
    allocations++;
    *memory = __libc_memalign(alignment, size);
    return *memory ? 0 : ENOMEM;
}

enum { HEADS = 2, ROWS = 40, KEYS = 1100, DIM = 48, COLUMNS = 16 };

static float query[HEADS][ROWS][DIM], key[HEADS][KEYS][DIM], value[HEADS][KEYS][COLUMNS];
static float output[HEADS][ROWS][COLUMNS], weights[HEADS][ROWS][KEYS];
static char message[256];

static void expect_ok(softdot_status status) {
    if (status != SOFTDOT_OK) {
        printf("%s\n", message);
        exit(1);
    }
}

/* Says what allocated how often; whether it did. */
static int report(const char *what, int count) {
    printf("%s: %d allocations\n", what, count);
    return count != 0;
}

static void in_turn(void *context, int64_t count, softdot_body body, void *work) {
    (void)context;
    for (int64_t i = 0; i < count; i++)
        body(work, i);
}

int main(void) {
    const softdot_view query_view = {query, SOFTDOT_F32, 0, {1, HEADS, ROWS, DIM},
                                     {0, ROWS * DIM, DIM, 1}};
    const softdot_view key_view = {key, SOFTDOT_F32, 0, {1, HEADS, KEYS, DIM},
                                   {0, KEYS * DIM, DIM, 1}};
    const softdot_view value_view = {value, SOFTDOT_F32, 0, {1, HEADS, KEYS, COLUMNS},
                                     {0, KEYS * COLUMNS, COLUMNS, 1}};
    const softdot_target output_target = {output, SOFTDOT_F32, 0, {1, HEADS, ROWS, COLUMNS},
                                          {0, ROWS * COLUMNS, COLUMNS, 1}};
    const softdot_target weights_target = {weights, SOFTDOT_F32, 0, {1, HEADS, ROWS, KEYS},
                                           {0, ROWS * KEYS, KEYS, 1}};
    const softdot_outputs outputs = {
        .struct_size = sizeof outputs, .output = &output_target, .weights = &weights_target};
    softdot_call call = {.struct_size = sizeof call,
                         .query = &query_view,
                         .key = &key_view,
                         .value = &value_view,
                         .outputs = &outputs};
    int failures = 0;
    for (int threads = 0; threads <= 3; threads += 3) {
        softdot_workspace *workspace = NULL;
        expect_ok(softdot_workspace_create(&workspace, message, sizeof message));
        call.workspace = workspace;
        call.parallel_for = threads ? in_turn : NULL;
        call.parallel_for_threads = threads;
        int first = allocations;
        expect_ok(softdot_attention_reserve(&call, message, sizeof message));
        int second = allocations;
        expect_ok(softdot_attention(&call, message, sizeof message));
        failures += report("a call whose workspace is reserved", allocations - second);
        if (second == first) {
            printf("expected that what grows a workspace is counted\n");
            failures++;
        }
        softdot_workspace_free(workspace);
        call.workspace = NULL;

        first = allocations;
        expect_ok(softdot_attention_workspace_bytes(&call, &call.workspace_bytes, message,
                                                    sizeof message));
        failures += report("asking for the size", allocations - first);
        void *memory = __libc_malloc(call.workspace_bytes);
        if (!memory)
            return 2;
        call.workspace_memory = memory;
        first = allocations;
        expect_ok(softdot_attention(&call, message, sizeof message));
        failures += report("a call with memory of the caller's", allocations - first);
        free(memory);
        call.workspace_memory = NULL;
        call.workspace_bytes = 0;
    }
    printf("%d failures\n", failures);
    return failures;
}
