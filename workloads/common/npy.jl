"""
NumPy's .npy files, and the .npz archives `np.savez` makes of them, without any package.

NumPy stores the last axis of an array densest, Julia the first. The same bytes are therefore an array whose axes come
in the opposite order: a file of shape (n, channels, height, width) is a Julia array of size (width, height, channels,
n). Nothing is transposed, neither here nor on the way back.
"""
module Npy

"The file is not what its name says, or only a part of it."
struct FormatError <: Exception
    message::String
end
Base.showerror(io::IO, error::FormatError) = print(io, error.message)

const TYPES = Dict(
    "|u1" => UInt8, "|i1" => Int8, "<i4" => Int32, "<i8" => Int64, "<f4" => Float32, "<f8" => Float64,
)
const MAGIC = b"\x93NUMPY"

"""
    Npy.load(path) -> Array

The array in a .npy file, its axes in the opposite order. Throws `FormatError`, and `SystemError` when there is none.
"""
load(path) = open(io -> complete(() -> read_array(io, path), path), path)

"Do `action`; that it meets the end of the file means that `path` is truncated."
function complete(action, path)
    try
        return action()
    catch error
        error isa EOFError || rethrow()
        throw(FormatError("$path is truncated"))
    end
end

function read_array(io, name)
    read(io, length(MAGIC)) == MAGIC || throw(FormatError("$name is no .npy file"))
    version, _ = read(io, UInt8), read(io, UInt8)
    header = String(read(io, little_endian(io, version == 1 ? UInt16 : UInt32)))
    type = match(r"'descr': *'([^']*)'", header)
    order = match(r"'fortran_order': *(True|False)", header)
    shape = match(r"'shape': *\(([^)]*)\)", header)
    nothing in (type, order, shape) && throw(FormatError("$name is truncated, or no .npy file"))
    haskey(TYPES, type[1]) || throw(FormatError("$name holds $(type[1]), which is none of $(join(keys(TYPES), " "))"))
    order[1] == "False" || throw(FormatError("$name is in Fortran order; save it with np.ascontiguousarray"))
    axes = [parse(Int, length) for length in split(shape[1], r"[, ]+", keepempty = false)]
    return read!(io, Array{TYPES[type[1]]}(undef, reverse(axes)...))
end

little_endian(io, type) = ltoh(read(io, type))

"""
    Npy.load_archive(path) -> Dict{String,Array}

The arrays of an .npz file by name. Throws `FormatError`, also for a compressed entry, and `SystemError`.
"""
function load_archive(path)
    io = IOBuffer(read(path))
    return complete(() -> Dict(read_entry(io, entry, path) for entry in directory(io, path)), path)
end

"The entries of a zip archive, from the directory at its end (APPNOTE.TXT, sections 4.3.12 and 4.3.16)."
function directory(io, path)
    ending = b"PK\x05\x06"
    at = findlast(at -> view(io.data, at:at+3) == ending, 1:io.size-21)
    at === nothing && throw(FormatError("$path is truncated, or no .npz file"))
    seek(io, at - 1 + 10)
    entries, _ = little_endian(io, UInt16), little_endian(io, UInt32)
    seek(io, little_endian(io, UInt32))
    return [read_directory_entry(io, path) for _ in 1:entries]
end

function read_directory_entry(io, path)
    read(io, 4) == b"PK\x01\x02" || throw(FormatError("$path has a damaged directory"))
    skip(io, 6)
    method = little_endian(io, UInt16)
    skip(io, 16)
    name_length, extra_length, comment_length = [little_endian(io, UInt16) for _ in 1:3]
    skip(io, 8)
    offset = little_endian(io, UInt32)
    name = String(read(io, name_length))
    skip(io, extra_length + comment_length)
    return (name = name, method = method, offset = offset)
end

function read_entry(io, entry, path)
    entry.method == 0 || throw(FormatError("$path: $(entry.name) is compressed; write it with np.savez"))
    seek(io, entry.offset + 26)
    skip(io, sum(little_endian(io, UInt16) for _ in 1:2))  # the name again, and what np.savez pads it with
    return replace(entry.name, r"\.npy$" => "") => read_array(io, "$path: $(entry.name)")
end

end
