"""
Where a Knet job runs: the array type that says which device, how to wait for it, and how to have Julia compile ahead.
"""
module Runtime

import CUDA, NNlib
using Knet
using LinearAlgebra: BLAS
using ..Bench

"Set Knet up for this job and announce it."
function start(job; fused = nothing, notes = [])
    job.precision == "fp32" || throw(Bench.NotImplementedError("these workloads compute in fp32"))
    Knet.seed!(job.seed)
    versions = Dict("nnlib" => version(NNlib), "autograd" => version(Knet.AutoGrad), "blas" => blas_version())
    device_name = nothing
    if job.device == "cpu"
        Knet.array_type[] = Array{Float32}
    else
        CUDA.functional() || error("CUDA.jl finds no usable GPU: see the log, and CUDA.versioninfo() in this image")
        Knet.array_type[] = CUDA.CuArray{Float32}
        device_name = CUDA.name(CUDA.device())
        merge!(versions, Dict("cuda" => string(CUDA.version()), "cudnn" => string(CUDA.CUDNN.version())))
    end
    Bench.start(
        job;
        version = version(Knet), versions = versions, device_name = device_name, fused = fused, notes = notes,
    )
end

"The version of a loaded package, from its project file."
function version(package)
    project = joinpath(dirname(dirname(pathof(package))), "Project.toml")
    return match(r"^version *= *\"([^\"]*)\""m, read(project, String))[1]
end

blas_version() = unsafe_string(ccall((BLAS.@blasfunc(openblas_get_config), BLAS.libblas), Ptr{UInt8}, ()))

"Float32 numbers on the job's device. Without a copy on the CPU."
to_device(array) = Knet.atype(array)

"Wait until the device has finished all its work. A CPU always has."
synchronize(job) = job.device == "gpu" && CUDA.synchronize()

"""
    train_step(model, x, y) -> loss

One step of training: the loss `model(x, y)`, its gradients, and the update each parameter's optimizer makes of them.
"""
function train_step(model, x, y)
    loss = @diff model(x, y)
    for parameter in params(model)
        update!(parameter, grad(loss, parameter))
    end
    return value(loss)
end

end
