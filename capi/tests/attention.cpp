// The header is C++17's too, and calls from several threads share nothing but what is read.
#include "softdot.h"

#include <array>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace {

struct Free {
    void operator()(softdot_packed_keys *keys) const { softdot_packed_keys_free(keys); }
    void operator()(softdot_workspace *workspace) const { softdot_workspace_free(workspace); }
};

constexpr int64_t rows = 4, keys = 50, dim = 16;

softdot_view view_of(const std::vector<float> &data, int64_t view_rows) {
    return {data.data(), SOFTDOT_F32, 0, {1, 1, view_rows, dim}, {0, 0, dim, 1}};
}

// The weights of the query rows, by a workspace of its own.
std::string weights(const softdot_view &query, const softdot_packed_keys *packed, float *result) {
    std::array<char, 200> message{};
    softdot_workspace *made = nullptr;
    if (softdot_workspace_create(&made, message.data(), message.size()) != SOFTDOT_OK)
        return message.data();
    const std::unique_ptr<softdot_workspace, Free> workspace(made);
    const softdot_target target{
        result, SOFTDOT_F32, 0, {1, 1, query.shape[2], keys}, {0, 0, keys, 1}};
    softdot_outputs outputs{};
    outputs.struct_size = sizeof outputs;
    outputs.weights = &target;
    softdot_call call{};
    call.struct_size = sizeof call;
    call.query = &query;
    call.packed_keys = packed;
    call.outputs = &outputs;
    call.workspace = workspace.get();
    softdot_attention(&call, message.data(), message.size());
    return message.data();
}

} // namespace

int main() {
    std::vector<float> query(rows * dim), key(keys * dim);
    for (size_t i = 0; i < query.size(); i++)
        query[i] = static_cast<float>(i % 7) / 7;
    for (size_t i = 0; i < key.size(); i++)
        key[i] = static_cast<float>(i % 11) / 11;
    std::array<char, 200> message{};
    softdot_packed_keys *made = nullptr;
    if (softdot_packed_keys_create(1, 1, dim, SOFTDOT_ISA_DETECTED, &made, message.data(),
                                   message.size()) != SOFTDOT_OK)
        return 1;
    const std::unique_ptr<softdot_packed_keys, Free> packed(made);
    const softdot_view key_view = view_of(key, keys);
    if (softdot_packed_keys_append(made, &key_view, message.data(), message.size()) != SOFTDOT_OK)
        return 1;

    std::vector<float> together(rows * keys), apart(rows * keys);
    std::array<std::string, rows + 1> errors;
    errors[rows] = weights(view_of(query, rows), made, together.data());
    std::vector<std::thread> threads;
    for (int64_t row = 0; row < rows; row++)
        threads.emplace_back([&, row] {
            softdot_view own = view_of(query, 1);
            own.data = query.data() + row * dim;
            errors[static_cast<size_t>(row)] = weights(own, made, apart.data() + row * keys);
        });
    for (std::thread &thread : threads)
        thread.join();
    int failures = together != apart || together[0] == 0;
    for (const std::string &error : errors)
        failures += !error.empty();
    std::printf("%d failures\n", failures);
    return failures;
}
