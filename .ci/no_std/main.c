/* The weights of scores 1, 2, 3, from a program that Rust's standard library is no part of. */
#include <math.h>
#include <stddef.h>
#include <stdio.h>

typedef int function(float *query, float *key, float *output, size_t rows, size_t keys,
                     size_t head_dim);
function weights, weights_into;

/* What the unwind tables of Rust's own alloc crate name; nothing unwinds here. */
void rust_eh_personality(void) {}

static int check(const char *name, function *compute) {
    float query[] = {1}, key[] = {1, 2, 3}, output[3] = {0};
    const float expected[] = {0.0900f, 0.2447f, 0.6652f};
    if (compute(query, key, output, 1, 3, 1) != 0) {
        printf("%s: refused\n", name);
        return 1;
    }
    printf("%s: %.4f %.4f %.4f\n", name, output[0], output[1], output[2]);
    for (int i = 0; i < 3; i++) {
        if (!(fabsf(output[i] - expected[i]) < 1e-4f)) {
            printf("%s: expected %.4f\n", name, expected[i]);
            return 1;
        }
    }
    return 0;
}

int main(void) {
    return check("attention_weights", weights) + check("compute_into", weights_into);
}
