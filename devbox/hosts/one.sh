# shellcheck shell=bash disable=SC2034 # read by lib/hosts.sh
# The one-host devbox: everything on devbox-1. A host's name is its Ansible name, namespace and container name.
host_names=(devbox-1)
# One that may join as a second node, and its inventory, beside that of this file.
joining_host=devbox-2 joined_inventory=two
declare -A host_address=([devbox-1]=10.77.0.11 [devbox-2]=10.77.0.12)
# The ranges that nothing of a test host may leak from: blackholed on the machine, with a metric above any real route.
test_ranges=(10.77.0.0/24 10.78.0.0/24 172.24.4.0/24 10.96.0.0/12 10.244.0.0/16 10.240.0.0/16)
management_gateway=10.77.0.1/24
external_gateway=172.24.4.1/24
