"""
Prepare the process before any framework is loaded; the counterpart of startup.py, where the reasons are.

Julia has its threads, and OpenBLAS those it was set to have, before the first line of a program runs. So the process
starts itself again, in place, with the environment it should have had: same pid, same arguments, a fifth of a second.
"""
module Startup

using Libdl
using LinearAlgebra: BLAS

const F_GETFL, F_SETFL, O_NONBLOCK, SIG_SETMASK = 3, 4, 0o4000, 2  # as Linux defines them

"""
Do all of it. Returns the descriptor of the event stream, or does not return: see `use_given_cpus`.
"""
function prepare()
    use_given_cpus()
    stream = claim_stdout()
    flush_denormals()
    return stream
end

"The number of CPUs this process may run on."
function available_cpus()
    mask = zeros(UInt8, 128)  # a cpu_set_t
    read = ccall(:sched_getaffinity, Cint, (Cint, Csize_t, Ptr{UInt8}), 0, sizeof(mask), mask)
    return read < 0 ? Sys.CPU_THREADS : sum(count_ones, mask)
end

"""
Keep the real stdout for events and point fd 1, and Julia's own `stdout`, at stderr. Returns the descriptor of the
event stream.
"""
function claim_stdout()
    stream = ccall(:dup, Cint, (Cint,), 1)
    # Julia makes a pipe non-blocking, for this descriptor too, and a full pipe must make an event wait, not fail.
    flags = ccall(:fcntl, Cint, (Cint, Cint, Cint...), stream, F_GETFL, 0)
    ccall(:fcntl, Cint, (Cint, Cint, Cint...), stream, F_SETFL, flags & ~O_NONBLOCK)
    redirect_stdout(stderr)
    return stream
end

"""
Start this program again with one Julia thread for every CPU it was given. OpenBLAS gets no threads of its own yet:
those it starts after `flush_denormals` inherit the setting. Returns only if nothing has to change.
"""
function use_given_cpus()
    wanted = Dict("JULIA_NUM_THREADS" => string(available_cpus()), "OPENBLAS_NUM_THREADS" => "1")
    all(get(ENV, name, "") == value for (name, value) in wanted) && return
    merge!(ENV, wanted)
    arguments = String.(split(chop(read("/proc/self/cmdline", String)), '\0'))
    # A new program inherits the signals this one has blocked; Julia's are for threads that are gone by then.
    signals = zeros(UInt8, 128)  # an empty sigset_t
    ccall(:sigprocmask, Cint, (Cint, Ptr{UInt8}, Ptr{Cvoid}), SIG_SETMASK, signals, C_NULL)
    GC.@preserve arguments begin
        program = readlink("/proc/self/exe")
        ccall(:execv, Cint, (Cstring, Ptr{Ptr{UInt8}}), program, Ptr{UInt8}[pointer.(arguments); C_NULL])
    end
    error("the program could not be started again: $(Libc.strerror())")
end

"Flush denormal floats to zero in every Julia thread and every OpenBLAS thread."
function flush_denormals()
    Threads.@threads :static for _ in 1:Threads.nthreads()
        set_zero_subnormals(true)
    end
    BLAS.set_num_threads(Threads.nthreads())
end

"Whether arithmetic flushes denormals in Julia's threads and in OpenBLAS's, found by trying."
function denormals_flushed()
    flushed = fill(false, Threads.nthreads())
    Threads.@threads :static for thread in 1:Threads.nthreads()
        flushed[thread] = halved(floatmin(Float32)) == 0
    end
    tiny = fill(1f-20, 512, 512)  # large enough to be shared among all threads
    return all(flushed) && all(iszero, tiny * tiny)
end

"UUIDs of the GPUs this process can use, as the NVIDIA driver tells them; empty without driver or GPU."
function visible_gpus()
    found = String[]
    cuda = dlopen("libcuda.so.1"; throw_error = false)
    cuda === nothing && return found
    get_uuid = dlsym(cuda, :cuDeviceGetUuid_v2; throw_error = false)  # see startup.py
    get_uuid = get_uuid === nothing ? dlsym(cuda, :cuDeviceGetUuid) : get_uuid
    count, device, raw = Ref{Cint}(0), Ref{Cint}(0), zeros(UInt8, 16)
    ccall(dlsym(cuda, :cuInit), Cint, (Cuint,), 0) == 0 || return found
    ccall(dlsym(cuda, :cuDeviceGetCount), Cint, (Ref{Cint},), count) == 0 || return found
    for index in 0:count[]-1
        ccall(dlsym(cuda, :cuDeviceGet), Cint, (Ref{Cint}, Cint), device, index) == 0 || continue
        ccall(get_uuid, Cint, (Ptr{UInt8}, Cint), raw, device[]) == 0 || continue
        hex = bytes2hex(raw)
        push!(found, "GPU-" * join((hex[1:8], hex[9:12], hex[13:16], hex[17:20], hex[21:32]), '-'))
    end
    return found
end

@noinline halved(x) = x * oftype(x, 0.5)

end
