"""The part of EC2's query API (2016-11-15) that makes machines and points, for
ebs_server.py, whose snapshots it shares.  Parameters that the real service does
not have are refused, and so is what it would refuse: images of snapshots that
are not complete, addresses outside of a subnet or taken, interfaces in use,
snapshots that an image is of, names that are used twice.

Tests tell of a machine that is to be protected by POST /_instance, write to the
disks of one that was run by POST /_write, and look at everything with GET
/_state.  Its limits are made by POST /_limits; with one_volume true only
snapshots of the same volume have a list of changes.
"""
import ipaddress
import json
import secrets
import time

from aws_server import Refused, escape

TYPES = {"t3.micro": (2, 1024), "t3.medium": (2, 4096), "m5.large": (2, 8192), "m5.4xlarge": (16, 65536)}
core = None                # the module ebs_server
volumes, instances, images, nics = {}, {}, {}, {}
subnets = {"subnet-0aaa": {"cidr": "10.1.0.0/24", "vpc": "vpc-1"}, "subnet-0bbb": {"cidr": "10.2.0.0/24", "vpc": "vpc-2"}}
groups = {"sg-0aaa": "vpc-1", "sg-0bbb": "vpc-2"}
routes = {"subnet-0aaa": ["local", "igw-1"], "subnet-0bbb": ["local"]}
limits = {"vcpus": 32, "slow": 2, "console": "", "fail_status": False, "one_volume": False}
clients = {}               # client tokens


def new(kind):
    return kind + "-" + secrets.token_hex(9)[:17]


def refuse(name, text, status=400):
    raise Refused(status, name, text)


def xml(action, inner):
    return core.xml(action, inner)


def tree(form):
    """Parameters as nested dicts: "A.1.B" is t["A"]["1"]["B"]."""
    t = {}
    for k, v in form.items():
        at = t
        parts = k.split(".")
        for p in parts[:-1]:
            at = at.setdefault(p, {})
            if not isinstance(at, dict):
                refuse("MalformedQueryString", k)
        at[parts[-1]] = v
    return t


def rows(t, name):
    return [v for _, v in sorted(t.get(name, {}).items(), key=lambda p: int(p[0]))]


def allow(t, *names):
    for k in t:
        if k not in names and k not in ("Action", "Version"):
            refuse("UnknownParameter", "The parameter %s is not recognized" % k)


def tags_of(t, kind):
    for spec in rows(t, "TagSpecification"):
        if spec.get("ResourceType") == kind:
            return {x["Key"]: x.get("Value", "") for x in rows(spec, "Tag")}
    return {}


def tag_set(tags):
    return "<tagSet>%s</tagSet>" % "".join(
        "<item><key>%s</key><value>%s</value></item>" % (escape(k), escape(v)) for k, v in tags.items())


def chosen(t, things, ids, error, fields):
    """Those of the ids, or of the filters; fields: filter name -> function."""
    wanted = rows(t, ids)
    for i in wanted:
        if i not in things:
            refuse(error, "The id '%s' does not exist" % i)
    found = {i: things[i] for i in wanted} if wanted else dict(things)
    for f in rows(t, "Filter"):
        name, values = f["Name"], rows(f, "Value")
        if name.startswith("tag:"):
            found = {i: x for i, x in found.items() if x.get("tags", {}).get(name[4:]) in values}
        elif name in fields:
            found = {i: x for i, x in found.items() if fields[name](i, x) in values}
        else:
            refuse("InvalidParameterValue", "The filter '%s' is invalid" % name)
    return found


# --- volumes and points -----------------------------------------------------

def add_instance(order):
    """A machine that is there: {"id", "volumes": [{"device", "file"}]}."""
    i = order["id"]
    instances[i] = {"state": "running", "tags": {}, "image": "ami-0", "type": "t3.micro", "nics": [], "root": order["volumes"][0]["device"],
                    "volumes": [], "polls": 0, "boot": "legacy-bios"}
    for v in order["volumes"]:
        vol = v.get("id") or new("vol")
        volumes[vol] = {"file": v["file"], "size": v.get("size", 1), "instance": i, "tags": {}}
        instances[i]["volumes"].append((v["device"], vol))


def write(order):
    """What a guest writes: {"device", "offset", "hex"}, on the machine that is
    not gone."""
    at, data = order["offset"], bytes.fromhex(order["hex"])
    vol = volumes[next(v for x in instances.values() for d, v in x["volumes"] if d == order["device"])]
    while data:
        index, skip = divmod(at, core.BLOCK)
        n = min(len(data), core.BLOCK - skip)
        old = vol["blocks"].get(index, bytes(core.BLOCK))
        vol["blocks"][index] = old[:skip] + data[:n] + old[skip + n:]
        at, data = at + n, data[n:]


def content(vol):
    if vol["file"] is None:
        return dict(vol["blocks"])
    own = {}
    with open(vol["file"], "rb") as f:
        index = 0
        while True:
            data = f.read(core.BLOCK)
            if not data:
                return own
            if data.strip(b"\0"):
                own[index] = data.ljust(core.BLOCK, b"\0")
            index += 1


def create_snapshots(form):
    t = tree(form)
    allow(t, "InstanceSpecification", "Description", "TagSpecification")
    spec = t.get("InstanceSpecification", {})
    i = instances.get(spec.get("InstanceId"))
    if not i:
        refuse("InvalidInstanceID.NotFound", "The instance ID '%s' does not exist" % spec.get("InstanceId"))
    out = rows(spec, "ExcludeDataVolumeId")
    root = dict(i["volumes"])[i["root"]]
    if root in out:
        refuse("InvalidParameterValue", "The root volume is no data volume")
    if any(v not in dict(i["volumes"]).values() for v in out):
        refuse("InvalidVolume.NotFound", "A volume is not attached")
    answer = ""
    for _, v in i["volumes"]:
        if v in out or (v == root and spec.get("ExcludeBootVolume") == "true"):
            continue
        s = core.Snapshot(volumes[v]["size"], None, tags_of(t, "snapshot"), t.get("Description", ""), None)
        s.volume, s.own, s.state, s.source = v, content(volumes[v]), "completing", volumes[v].get("snapshot")
        core.snapshots[s.id] = s
        answer += ("<item><snapshotId>%s</snapshotId><volumeId>%s</volumeId><state>pending</state><volumeSize>%d</volumeSize>%s</item>"
                   % (s.id, v, s.size, tag_set(s.tags)))
    if not answer:
        refuse("InvalidParameterCombination", "No volume is left")
    return xml("CreateSnapshots", "<snapshotSet>%s</snapshotSet>" % answer)


def describe_volumes(form):
    t = tree(form)
    allow(t, "VolumeId", "Filter", "MaxResults", "NextToken")
    found = chosen(t, volumes, "VolumeId", "InvalidVolume.NotFound", {"status": lambda i, v: "in-use" if v["instance"] else "available"})
    return xml("DescribeVolumes", "<volumeSet>%s</volumeSet>" % "".join(
        "<item><volumeId>%s</volumeId><size>%d</size><status>%s</status>%s</item>"
        % (i, v["size"], "in-use" if v["instance"] else "available", tag_set(v["tags"])) for i, v in found.items()))


def delete_volume(form):
    t = tree(form)
    allow(t, "VolumeId")
    v = volumes.get(t.get("VolumeId")) or refuse("InvalidVolume.NotFound", "no such volume")
    if v["instance"]:
        refuse("VolumeInUse", "The volume is in use")
    del volumes[t["VolumeId"]]
    return xml("DeleteVolume", "<return>true</return>")


# --- images -------------------------------------------------------------------

def register_image(form):
    t = tree(form)
    allow(t, "Name", "Description", "Architecture", "RootDeviceName", "BlockDeviceMapping", "VirtualizationType", "EnaSupport", "BootMode", "ImdsSupport")
    name = t.get("Name", "")
    if not 3 <= len(name) <= 128:
        refuse("InvalidAMIName.Malformed", "AMI names must be between 3 and 128 characters long")
    if any(i["name"] == name for i in images.values()):
        refuse("InvalidAMIName.Duplicate", "AMI name %s is already in use" % name)
    disks = {}
    for m in rows(t, "BlockDeviceMapping"):
        s = core.snapshots.get(m["Ebs"]["SnapshotId"]) or refuse("InvalidSnapshot.NotFound", "The snapshot '%s' does not exist." % m["Ebs"]["SnapshotId"])
        if s.state != "completed":
            refuse("IncorrectState", "The snapshot is not completed")
        if m["DeviceName"] in disks:
            refuse("InvalidBlockDeviceMapping", "%s is there twice" % m["DeviceName"])
        disks[m["DeviceName"]] = {"snapshot": s.id, "size": s.size, "type": m["Ebs"].get("VolumeType"), "delete": m["Ebs"].get("DeleteOnTermination") == "true"}
    if t.get("RootDeviceName") not in disks:
        refuse("InvalidBlockDeviceMapping", "The root device is not in the mapping")
    if t.get("BootMode") not in (None, "legacy-bios", "uefi", "uefi-preferred"):
        refuse("InvalidParameterValue", "BootMode")
    if t.get("Architecture") not in ("x86_64", "arm64") or t.get("VirtualizationType") != "hvm":
        refuse("InvalidParameterValue", "Architecture or VirtualizationType")
    i = new("ami")
    images[i] = {"name": name, "disks": disks, "root": t["RootDeviceName"], "boot": t.get("BootMode", "legacy-bios"), "ena": t.get("EnaSupport") == "true",
                 "tags": {}, "arch": t["Architecture"]}
    return xml("RegisterImage", "<imageId>%s</imageId>" % i)


def describe_images(form):
    t = tree(form)
    allow(t, "Owner", "ImageId", "Filter", "MaxResults", "NextToken")
    found = chosen(t, images, "ImageId", "InvalidAMIID.NotFound", {"name": lambda i, x: x["name"]})
    return xml("DescribeImages", "<imagesSet>%s</imagesSet>" % "".join(
        "<item><imageId>%s</imageId><name>%s</name><imageState>available</imageState>%s</item>" % (i, escape(x["name"]), tag_set(x["tags"]))
        for i, x in found.items()))


def deregister_image(form):
    t = tree(form)
    allow(t, "ImageId")
    if t.get("ImageId") not in images:
        refuse("InvalidAMIID.NotFound", "no such image")
    del images[t["ImageId"]]
    return xml("DeregisterImage", "<return>true</return>")


# --- networks -----------------------------------------------------------------

def create_nic(form):
    t = tree(form)
    allow(t, "SubnetId", "SecurityGroupId", "PrivateIpAddress", "Description", "TagSpecification", "ClientToken")
    subnet = subnets.get(t.get("SubnetId")) or refuse("InvalidSubnetID.NotFound", "The subnet ID '%s' does not exist" % t.get("SubnetId"))
    net = ipaddress.ip_network(subnet["cidr"])
    taken = {n["ip"] for n in nics.values() if n["subnet"] == t["SubnetId"]}
    ip = t.get("PrivateIpAddress") or next(str(h) for h in list(net.hosts())[3:] if str(h) not in taken)
    if ipaddress.ip_address(ip) not in list(net.hosts())[3:]:
        refuse("InvalidParameterValue", "Address %s is not within the subnet's address range" % ip)
    for g in rows(t, "SecurityGroupId"):
        if groups.get(g) != subnet["vpc"]:
            refuse("InvalidGroup.NotFound", "The security group '%s' does not exist in VPC '%s'" % (g, subnet["vpc"]))
    token = t.get("ClientToken")
    if token and ("nic", token) in clients:
        i = clients["nic", token]
    else:
        if ip in taken:
            refuse("InvalidIPAddress.InUse", "Address %s is in use." % ip)
        i = new("eni")
        nics[i] = {"subnet": t["SubnetId"], "ip": ip, "mac": "02:" + ":".join(secrets.token_hex(1) for _ in range(5)), "groups": rows(t, "SecurityGroupId"),
                   "tags": tags_of(t, "network-interface"), "instance": None, "index": None}
        if token:
            clients["nic", token] = i
    return xml("CreateNetworkInterface", "<networkInterface>%s</networkInterface>" % nic_row(i, nics[i]))


def nic_row(i, n):
    at = "<attachment><deviceIndex>%d</deviceIndex><instanceId>%s</instanceId></attachment>" % (n["index"], n["instance"]) if n["instance"] else ""
    return ("<networkInterfaceId>%s</networkInterfaceId><subnetId>%s</subnetId><status>%s</status><macAddress>%s</macAddress>"
            "<privateIpAddress>%s</privateIpAddress>%s%s"
            % (i, n["subnet"], "in-use" if n["instance"] else "available", n["mac"], n["ip"], at, tag_set(n["tags"])))


def describe_nics(form):
    t = tree(form)
    allow(t, "NetworkInterfaceId", "Filter", "MaxResults", "NextToken")
    found = chosen(t, nics, "NetworkInterfaceId", "InvalidNetworkInterfaceID.NotFound", {})
    return xml("DescribeNetworkInterfaces", "<networkInterfaceSet>%s</networkInterfaceSet>" % "".join(
        "<item>%s</item>" % nic_row(i, n).replace("tagSet", "tagSet") for i, n in found.items()))


def delete_nic(form):
    t = tree(form)
    allow(t, "NetworkInterfaceId")
    n = nics.get(t.get("NetworkInterfaceId")) or refuse("InvalidNetworkInterfaceID.NotFound", "no such interface")
    if n["instance"]:
        refuse("InvalidParameterValue", "Network interface '%s' is currently in use." % t["NetworkInterfaceId"])
    del nics[t["NetworkInterfaceId"]]
    return xml("DeleteNetworkInterface", "<return>true</return>")


def describe_subnets(form):
    t = tree(form)
    allow(t, "SubnetId", "Filter", "MaxResults", "NextToken")
    found = chosen(t, subnets, "SubnetId", "InvalidSubnetID.NotFound", {})
    return xml("DescribeSubnets", "<subnetSet>%s</subnetSet>" % "".join(
        "<item><subnetId>%s</subnetId><vpcId>%s</vpcId><cidrBlock>%s</cidrBlock><availableIpAddressCount>%d</availableIpAddressCount></item>"
        % (i, s["vpc"], s["cidr"], ipaddress.ip_network(s["cidr"]).num_addresses - 5 - sum(n["subnet"] == i for n in nics.values()))
        for i, s in found.items()))


def describe_groups(form):
    t = tree(form)
    allow(t, "GroupId", "Filter", "MaxResults", "NextToken")
    found = chosen(t, {g: {"vpc": v} for g, v in groups.items()}, "GroupId", "InvalidGroup.NotFound", {})
    return xml("DescribeSecurityGroups", "<securityGroupInfo>%s</securityGroupInfo>" % "".join(
        "<item><groupId>%s</groupId><groupName>%s</groupName><vpcId>%s</vpcId></item>" % (g, g, x["vpc"]) for g, x in found.items()))


def describe_routes(form):
    t = tree(form)
    allow(t, "Filter", "MaxResults", "NextToken", "RouteTableId")
    found = chosen(t, {"rtb-" + s[7:]: {"subnet": s, "vpc": subnets[s]["vpc"]} for s in routes}, "RouteTableId", "InvalidRouteTableID.NotFound",
                   {"association.subnet-id": lambda i, x: x["subnet"], "vpc-id": lambda i, x: x["vpc"], "association.main": lambda i, x: "false"})
    return xml("DescribeRouteTables", "<routeTableSet>%s</routeTableSet>" % "".join(
        "<item><routeTableId>%s</routeTableId><routeSet>%s</routeSet></item>"
        % (i, "".join("<item><destinationCidrBlock>%s</destinationCidrBlock><gatewayId>%s</gatewayId><state>active</state></item>"
                      % ("10.0.0.0/8" if g == "local" else "0.0.0.0/0", g) for g in routes[x["subnet"]])) for i, x in found.items()))


# --- machines -----------------------------------------------------------------

def describe_types(form):
    t = tree(form)
    allow(t, "InstanceType", "Filter", "MaxResults", "NextToken")
    wanted = rows(t, "InstanceType")
    for n in wanted:
        if n not in TYPES:
            refuse("InvalidInstanceType", "The following supplied instance types do not exist: [%s]" % n)
    return xml("DescribeInstanceTypes", "<instanceTypeSet>%s</instanceTypeSet>" % "".join(
        "<item><instanceType>%s</instanceType><vCpuInfo><defaultVCpus>%d</defaultVCpus></vCpuInfo><memoryInfo><sizeInMiB>%d</sizeInMiB></memoryInfo>"
        "<supportedBootModes><item>legacy-bios</item><item>uefi</item></supportedBootModes>"
        "<processorInfo><supportedArchitectures><item>x86_64</item></supportedArchitectures></processorInfo></item>" % (n, *TYPES[n])
        for n in (wanted or TYPES)))


def used_vcpus():
    return sum(TYPES[i["type"]][0] for i in instances.values() if i["state"] in ("pending", "running"))


def run_instances(form):
    t = tree(form)
    allow(t, "ImageId", "InstanceType", "MinCount", "MaxCount", "NetworkInterface", "ClientToken", "TagSpecification", "KeyName", "IamInstanceProfile")
    token = t.get("ClientToken")
    image = images.get(t.get("ImageId")) or refuse("InvalidAMIID.NotFound", "The image id '%s' does not exist" % t.get("ImageId"))
    kind = t.get("InstanceType")
    if kind not in TYPES:
        refuse("InvalidParameterValue", "Invalid value '%s' for InstanceType" % kind)
    if (t.get("MinCount"), t.get("MaxCount")) != ("1", "1"):
        refuse("InvalidParameterValue", "MinCount and MaxCount")
    if token and ("run", token) in clients:
        i = clients["run", token]
        return xml("RunInstances", "<instancesSet>%s</instancesSet>" % instance_row(i, instances[i]))
    if used_vcpus() + TYPES[kind][0] > limits["vcpus"]:
        refuse("VcpuLimitExceeded", "You have requested more vCPU capacity than your current vCPU limit of %d allows" % limits["vcpus"])
    specs = rows(t, "NetworkInterface")
    if sorted(s.get("DeviceIndex") for s in specs) != [str(n) for n in range(len(specs))] or not specs:
        refuse("InvalidParameterValue", "DeviceIndex")
    for s in specs:
        n = nics.get(s.get("NetworkInterfaceId")) or refuse("InvalidNetworkInterfaceID.NotFound", "no such interface")
        if n["instance"]:
            refuse("InvalidNetworkInterface.InUse", "The interface is in use")
    i = new("i")
    instances[i] = {"state": "pending", "tags": tags_of(t, "instance"), "image": t["ImageId"], "type": kind, "root": image["root"], "volumes": [],
                    "nics": [s["NetworkInterfaceId"] for s in specs], "polls": 0, "boot": image["boot"]}
    for device, d in image["disks"].items():
        v = new("vol")
        volumes[v] = {"file": None, "snapshot": d["snapshot"], "blocks": core.snapshots[d["snapshot"]].blocks(), "size": d["size"], "instance": i, "tags": tags_of(t, "volume"), "delete": d["delete"]}
        instances[i]["volumes"].append((device, v))
    for s in specs:
        nics[s["NetworkInterfaceId"]].update(instance=i, index=int(s["DeviceIndex"]))
    if token:
        clients["run", token] = i
    return xml("RunInstances", "<instancesSet>%s</instancesSet>" % instance_row(i, instances[i]))


CODES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}
NEXT = {"pending": "running", "stopping": "stopped", "shutting-down": "terminated"}


def step(i):
    x = instances[i]
    if x["state"] in NEXT:
        x["polls"] += 1
        if x["polls"] > limits["slow"]:
            x["polls"], x["state"] = 0, NEXT[x["state"]]
            if x["state"] == "terminated":
                for n in x["nics"]:
                    nics[n].update(instance=None, index=None)
                for _, v in x["volumes"]:
                    if volumes[v].get("delete"):
                        del volumes[v]
                    else:
                        volumes[v]["instance"] = None
                x["volumes"], x["nics"] = [], []


def instance_row(i, x):
    return ("<item><instanceId>%s</instanceId><imageId>%s</imageId><instanceState><code>%d</code><name>%s</name></instanceState>"
            "<instanceType>%s</instanceType><rootDeviceName>%s</rootDeviceName><blockDeviceMapping>%s</blockDeviceMapping>"
            "<networkInterfaceSet>%s</networkInterfaceSet><cpuOptions><coreCount>%d</coreCount><threadsPerCore>1</threadsPerCore></cpuOptions>%s</item>"
            % (i, x["image"], CODES[x["state"]], x["state"], x["type"], x["root"],
               "".join("<item><deviceName>%s</deviceName><ebs><volumeId>%s</volumeId><status>attached</status></ebs></item>" % v for v in x["volumes"]),
               "".join("<item>%s</item>" % nic_row(n, nics[n]) for n in x["nics"]), TYPES[x["type"]][0], tag_set(x["tags"])))


def describe_instances(form):
    t = tree(form)
    allow(t, "InstanceId", "Filter", "MaxResults", "NextToken")
    for i in list(instances):
        step(i)
    found = chosen(t, instances, "InstanceId", "InvalidInstanceID.NotFound", {"instance-state-name": lambda i, x: x["state"]})
    return xml("DescribeInstances", "<reservationSet>%s</reservationSet>" % "".join(
        "<item><reservationId>r-1</reservationId><instancesSet>%s</instancesSet></item>" % instance_row(i, x) for i, x in found.items()))


def describe_status(form):
    t = tree(form)
    allow(t, "InstanceId", "IncludeAllInstances", "Filter", "MaxResults", "NextToken")
    found = chosen(t, instances, "InstanceId", "InvalidInstanceID.NotFound", {})
    out = ""
    for i, x in found.items():
        if x["state"] != "running":
            continue
        x["polls"] += 1
        word = "initializing" if x["polls"] <= limits["slow"] else "impaired" if limits["fail_status"] else "ok"
        out += ("<item><instanceId>%s</instanceId><instanceState><code>16</code><name>running</name></instanceState>"
                "<systemStatus><status>%s</status></systemStatus><instanceStatus><status>%s</status></instanceStatus></item>"
                % (i, "ok" if word == "impaired" else word, word))
    return xml("DescribeInstanceStatus", "<instanceStatusSet>%s</instanceStatusSet>" % out)


def change(form, action, word, legal):
    t = tree(form)
    allow(t, "InstanceId", "Force")
    for i in rows(t, "InstanceId"):
        x = instances.get(i) or refuse("InvalidInstanceID.NotFound", "The instance ID '%s' does not exist" % i)
        if x["state"] not in legal:
            refuse("IncorrectInstanceState", "The instance '%s' is not in a state from which it can be changed" % i)
        if x["state"] not in (word, NEXT.get(word)):
            x["state"], x["polls"] = word, 0
    return xml(action, "<instancesSet></instancesSet>")


def start(form):
    return change(form, "StartInstances", "pending", ("stopped", "running", "pending"))


def stop(form):
    return change(form, "StopInstances", "stopping", ("running", "stopping", "stopped"))


def terminate(form):
    return change(form, "TerminateInstances", "shutting-down", tuple(CODES))


def console(form):
    t = tree(form)
    allow(t, "InstanceId", "Latest")
    if t.get("InstanceId") not in instances:
        refuse("InvalidInstanceID.NotFound", "no such instance")
    return xml("GetConsoleOutput", "<instanceId>%s</instanceId><timestamp>2026-01-01T00:00:00.000Z</timestamp><output>%s</output>"
               % (t["InstanceId"], core.base64.b64encode(limits["console"].encode()).decode()))


def create_tags(form):
    t = tree(form)
    allow(t, "ResourceId", "Tag")
    for r in rows(t, "ResourceId"):
        for things in (images, instances, volumes, nics):
            if r in things:
                things[r]["tags"].update({x["Key"]: x.get("Value", "") for x in rows(t, "Tag")})
                break
        else:
            if r not in core.snapshots:
                refuse("InvalidID", "The ID '%s' is not valid" % r)
            core.snapshots[r].tags.update({x["Key"]: x.get("Value", "") for x in rows(t, "Tag")})
    return xml("CreateTags", "<return>true</return>")


def quota(body):
    if json.loads(body).get("QuotaCode") != "L-1216C47A":
        refuse("NoSuchResourceException", "no such quota")
    return json.dumps({"Quota": {"ServiceCode": "ec2", "QuotaCode": "L-1216C47A", "Value": float(limits["vcpus"])}})


def snapshot_in_use(name):
    return any(d["snapshot"] == name for i in images.values() for d in i["disks"].values())


def state():
    shown = {i: {k: x for k, x in v.items() if k != "blocks"} for i, v in volumes.items()}
    return {"instances": instances, "volumes": shown, "images": images, "nics": nics}


ACTIONS = {
    "CreateSnapshots": create_snapshots, "DescribeVolumes": describe_volumes, "DeleteVolume": delete_volume,
    "RegisterImage": register_image, "DescribeImages": describe_images, "DeregisterImage": deregister_image,
    "CreateNetworkInterface": create_nic, "DescribeNetworkInterfaces": describe_nics, "DeleteNetworkInterface": delete_nic,
    "DescribeSubnets": describe_subnets, "DescribeSecurityGroups": describe_groups, "DescribeRouteTables": describe_routes,
    "DescribeInstanceTypes": describe_types, "RunInstances": run_instances, "DescribeInstances": describe_instances,
    "DescribeInstanceStatus": describe_status, "StartInstances": start, "StopInstances": stop, "TerminateInstances": terminate,
    "GetConsoleOutput": console, "CreateTags": create_tags,
}
