// simdjson lines FILE: parses and checks every line of JSON Lines, and prints how many there are. simdjson minify FILE: prints the document without white
// space, which checks strings only.

#include <cstdio>
#include <cstring>
#include <simdjson.h>

int main(int count, char **arguments) {
    if (count != 3) return 64;
    simdjson::padded_string text;
    if (auto error = simdjson::padded_string::load(arguments[2]).get(text)) {
        std::fprintf(stderr, "%s: %s\n", arguments[2], simdjson::error_message(error));
        return 74;
    }
    if (!std::strcmp(arguments[1], "minify")) {
        std::unique_ptr<char[]> output(new char[text.size() + simdjson::SIMDJSON_PADDING]);
        size_t size = 0;
        if (simdjson::minify(text.data(), text.size(), output.get(), size)) return 65;
        return std::fwrite(output.get(), 1, size, stdout) == size ? 0 : 74;
    }
    simdjson::dom::parser parser;
    simdjson::dom::document_stream lines;
    if (parser.parse_many(text, 16 << 20).get(lines)) return 65;  // no line is longer than a batch
    size_t found = 0;
    for (auto line : lines) {
        if (line.error()) return 65;
        found++;
    }
    std::printf("%zu\n", found);
    return 0;
}
