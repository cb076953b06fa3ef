//! What is said over the pod-resources socket: `podresources/v1/api.proto` of Kubernetes, as far as it is about devices.
//! Fields that aren't here (CPUs, memory, topology) are skipped.

use prost::Message;

/// Asks for what containers hold.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ListRequest {}

/// What containers hold.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ListResponse {
    /// Pod by pod.
    #[prost(message, repeated, tag = "1")]
    pub pod_resources: Vec<PodResources>,
}

/// What a pod holds.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct PodResources {
    /// The pod's name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its namespace.
    #[prost(string, tag = "2")]
    pub namespace: String,
    /// Container by container.
    #[prost(message, repeated, tag = "3")]
    pub containers: Vec<ContainerResources>,
}

/// What a container holds.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ContainerResources {
    /// The container's name within the pod.
    #[prost(string, tag = "1")]
    pub name: String,
    /// From device plugins. A resource stands here several times where its devices belong to several NUMA nodes.
    #[prost(message, repeated, tag = "2")]
    pub devices: Vec<ContainerDevices>,
    /// By resource claims (DRA).
    #[prost(message, repeated, tag = "5")]
    pub dynamic_resources: Vec<DynamicResource>,
}

/// Devices of a plugin.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ContainerDevices {
    /// The resource, `nvidia.com/gpu`.
    #[prost(string, tag = "1")]
    pub resource_name: String,
    /// The plugin's names of the devices.
    #[prost(string, repeated, tag = "2")]
    pub device_ids: Vec<String>,
}

/// A resource claim.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct DynamicResource {
    /// The claim's name.
    #[prost(string, tag = "2")]
    pub claim_name: String,
    /// Its namespace.
    #[prost(string, tag = "3")]
    pub claim_namespace: String,
    /// What was given to it.
    #[prost(message, repeated, tag = "4")]
    pub claim_resources: Vec<ClaimResource>,
}

/// A device of a claim.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ClaimResource {
    /// The device as the runtime gets it.
    #[prost(message, repeated, tag = "1")]
    pub cdi_devices: Vec<CdiDevice>,
    /// The driver, `gpu.nvidia.com`.
    #[prost(string, tag = "2")]
    pub driver_name: String,
    /// The pool, most often the node's name.
    #[prost(string, tag = "3")]
    pub pool_name: String,
    /// The driver's name of the device.
    #[prost(string, tag = "4")]
    pub device_name: String,
    /// The share of the device, where it may be given away several times.
    #[prost(string, optional, tag = "5")]
    pub share_id: Option<String>,
}

/// A device in the container device interface.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct CdiDevice {
    /// Its full name, `nvidia.com/gpu=0`.
    #[prost(string, tag = "1")]
    pub name: String,
}

/// Asks for what may be given away.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct AllocatableRequest {}

/// What may be given away, whether it is or not.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct AllocatableResponse {
    /// From device plugins.
    #[prost(message, repeated, tag = "1")]
    pub devices: Vec<ContainerDevices>,
}
