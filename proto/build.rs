//! Generates the gRPC code at build time. protox parses the files in Rust, so no protoc is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = ["rpc/admin.proto", "grpc/health/v1/health.proto"];
    let descriptors = protox::compile(files, ["."])?;
    tonic_prost_build::configure()
        .compile_well_known_types(false)
        .codec_path("crate::codec::SmallCodec")
        .compile_fds(descriptors)?;
    for file in files {
        println!("cargo:rerun-if-changed={file}");
    }
    Ok(())
}
