//! The two gRPC contracts that pods serve: Scalar Admin (pause, unpause, check) and gRPC health.
#![allow(missing_docs, clippy::all, clippy::pedantic)]

mod codec;

/// `package rpc`: Scalar Admin.
pub mod admin {
    tonic::include_proto!("rpc");
}

/// `package grpc.health.v1`: the standard health protocol.
pub mod health {
    tonic::include_proto!("grpc.health.v1");
}
