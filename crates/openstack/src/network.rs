//! Neutron v2.0: networks, subnets, routers, ports, security groups, quotas, floating IPs.
//!
//! Objects are told apart by ID and exact project. Tags, names and descriptions can be written by any member of the project
//! (who can also switch off `port_security_enabled`), so they find candidates and prove nothing. Lists take the project; what spans
//! projects says so in its name and needs the service's own session.

mod agent;
mod extension;
mod floating_ip;
mod net;
mod port;
mod quota;
mod rbac;
mod router;
mod security_group;
mod subnet;
mod tags;

pub use agent::Agent;
pub use extension::REQUIRED_EXTENSIONS;
pub use floating_ip::{FloatingIp, FloatingIpFilter};
pub use net::{CreateNetwork, Network, NetworkFilter, UpdateNetwork};
pub use port::{AddressPair, BindingVifType, CreatePort, FixedIp, FixedIpRequest, Port, PortFilter, UpdatePort};
pub use quota::{Quota, QuotaChange, QuotaUsage, Used};
pub use rbac::RbacPolicy;
pub use router::{CreateRouter, ExternalGateway, Route, Router, RouterFilter, RouterInterface, UpdateRouter};
pub use security_group::{
    CreateSecurityGroup, CreateSecurityGroupRule, Direction, EtherType, SecurityGroup, SecurityGroupFilter,
    SecurityGroupRule, UpdateSecurityGroup,
};
pub use subnet::{AllocationPool, CreateSubnet, Subnet, SubnetFilter, UpdateSubnet};
pub use tags::Taggable;
