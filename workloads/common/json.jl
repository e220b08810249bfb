"""
The part of JSON the protocol needs, so that a workload depends on no package: `Json.parse` and `Json.write`.
"""
module Json

"The text is not JSON."
struct ParseError <: Exception
    message::String
end
Base.showerror(io::IO, error::ParseError) = print(io, error.message)

mutable struct Scanner
    text::String
    at::Int  # byte index of the next character
end

fail(scanner, wanted) = throw(ParseError("not JSON: $wanted expected at byte $(scanner.at)"))

"""
    Json.parse(text)

Read one JSON value: a `Dict{String,Any}`, `Vector{Any}`, `String`, `Int`, `Float64`, `Bool` or `nothing`. Throws
`ParseError` naming the byte where the text stops being JSON.
"""
function parse(text::AbstractString)
    scanner = Scanner(String(text), 1)
    result = parse_value(scanner)
    peek(scanner) == '\0' || fail(scanner, "the end")
    return result
end

"The next character that is no white space, which is left in place; `'\\0'` at the end of the text."
function peek(scanner)
    while scanner.at <= ncodeunits(scanner.text)
        character = scanner.text[scanner.at]
        character in (' ', '\t', '\n', '\r') || return character
        scanner.at += 1
    end
    return '\0'
end

"Whether `wanted` comes next, after white space. If it does, move past it."
function accept(scanner, wanted)
    peek(scanner)
    found = startswith(SubString(scanner.text, scanner.at), wanted)
    found && (scanner.at += ncodeunits(wanted))
    return found
end

expect(scanner, wanted) = accept(scanner, wanted) || fail(scanner, wanted)

function parse_value(scanner)
    accept(scanner, "{") && return parse_object(scanner)
    accept(scanner, "[") && return parse_array(scanner)
    accept(scanner, "\"") && return parse_string(scanner)
    accept(scanner, "true") && return true
    accept(scanner, "false") && return false
    accept(scanner, "null") && return nothing
    return parse_number(scanner)
end

function parse_object(scanner)
    result = Dict{String,Any}()
    accept(scanner, "}") && return result
    while true
        expect(scanner, "\"")
        key = parse_string(scanner)
        expect(scanner, ":")
        result[key] = parse_value(scanner)
        accept(scanner, ",") || break
    end
    expect(scanner, "}")
    return result
end

function parse_array(scanner)
    result = Any[]
    accept(scanner, "]") && return result
    while true
        push!(result, parse_value(scanner))
        accept(scanner, ",") || break
    end
    expect(scanner, "]")
    return result
end

const NUMBER = r"\G-?(?:0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?"

function parse_number(scanner)
    found = match(NUMBER, scanner.text, scanner.at)
    found === nothing && fail(scanner, "a value")
    scanner.at += ncodeunits(found.match)
    whole = found[1] === nothing && found[2] === nothing
    return whole ? Base.parse(Int, found.match) : Base.parse(Float64, found.match)
end

const ESCAPES = Dict(
    '"' => '"', '\\' => '\\', '/' => '/', 'b' => '\b', 'f' => '\f', 'n' => '\n', 'r' => '\r', 't' => '\t',
)

"The rest of a string whose opening quote has been read."
function parse_string(scanner)
    result = IOBuffer()
    while true
        character = read_character(scanner)
        character == '"' && return String(take!(result))
        print(result, character == '\\' ? parse_escape(scanner) : character)
    end
end

function read_character(scanner)
    scanner.at <= ncodeunits(scanner.text) || fail(scanner, "the end of a string")
    character = scanner.text[scanner.at]
    scanner.at = nextind(scanner.text, scanner.at)
    return character
end

function parse_escape(scanner)
    character = read_character(scanner)
    character == 'u' || return get(() -> fail(scanner, "an escape"), ESCAPES, character)
    unit = parse_code_unit(scanner)
    unit in 0xd800:0xdbff || return Char(unit)
    expect(scanner, "\\u")  # the second half of a character beyond 16 bits
    return Char(0x10000 + (UInt32(unit - 0xd800) << 10) + (parse_code_unit(scanner) - 0xdc00))
end

function parse_code_unit(scanner)
    digits = String([read_character(scanner) for _ in 1:4])
    unit = tryparse(UInt16, digits, base = 16)
    return unit === nothing ? fail(scanner, "four hexadecimal digits") : unit
end

"""
    Json.write(io, value)

Write `value` on one line. A value JSON cannot hold (NaN, infinity) throws `ArgumentError`.
"""
write(io::IO, ::Nothing) = print(io, "null")
write(io::IO, value::Integer) = print(io, value)

function write(io::IO, value::AbstractFloat)
    isfinite(value) || throw(ArgumentError("JSON has no $value"))
    print(io, Float64(value))  # a Float32 may be printed as 1.0f-5
end

function write(io::IO, value::AbstractString)
    print(io, '"')
    for character in value
        if character in ('"', '\\')
            print(io, '\\', character)
        elseif !isvalid(character)
            print(io, '\ufffd')
        elseif iscntrl(character)
            print(io, "\\u", string(UInt32(character), base = 16, pad = 4))
        else
            print(io, character)
        end
    end
    print(io, '"')
end

write(io::IO, values::Union{AbstractVector,Tuple}) = write_list(write, io, '[', values, ']')
write(io::IO, value::Symbol) = write(io, string(value))
write(io::IO, entries::AbstractDict) = write_object(io, entries)

"Write `entries`, an iterable of pairs, as an object that keeps their order."
write_object(io::IO, entries) = write_list(write_entry, io, '{', entries, '}')

function write_list(write_item, io, opening, items, closing)
    print(io, opening)
    for (number, item) in enumerate(items)
        number > 1 && print(io, ',')
        write_item(io, item)
    end
    print(io, closing)
end

function write_entry(io, (key, value))
    write(io, string(key))
    print(io, ':')
    write(io, value)
end

end
