"""The resources that Kubernetes has by itself: their kinds, their scope, and how far changing them goes.

What the built-in ClusterRole ``edit`` may change is a write. All else is admin: whoever changes it changes who may do what,
what every object has to be like, or what all namespaces share. What mints credentials is unknown (``reaches.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

CORE = ""
RBAC = "rbac.authorization.k8s.io"
CERTIFICATES = "certificates.k8s.io"
CRDS = "apiextensions.k8s.io"
SYSTEM_NAMESPACES = frozenset({"kube-system", "kube-public", "kube-node-lease"})


@dataclass(frozen=True, slots=True)
class Known:
    """A resource. ``admin`` says how far changing it goes; ``subresources`` are those that it has."""

    kind: str
    namespaced: bool
    admin: bool
    subresources: frozenset[str]


# group: resource Kind scope(n or c) reach(w or a) subresources
_TABLE = """
: bindings Binding n a
: componentstatuses ComponentStatus c a
: configmaps ConfigMap n w
: endpoints Endpoints n a
: events Event n w
: limitranges LimitRange n a
: namespaces Namespace c a status finalize
: nodes Node c a status proxy
: persistentvolumeclaims PersistentVolumeClaim n w status
: persistentvolumes PersistentVolume c a status
: pods Pod n w attach binding ephemeralcontainers eviction exec log portforward proxy resize status
: podtemplates PodTemplate n w
: replicationcontrollers ReplicationController n w scale status
: resourcequotas ResourceQuota n a status
: secrets Secret n w
: serviceaccounts ServiceAccount n w token
: services Service n w proxy status
admissionregistration.k8s.io: mutatingadmissionpolicies MutatingAdmissionPolicy c a
admissionregistration.k8s.io: mutatingadmissionpolicybindings MutatingAdmissionPolicyBinding c a
admissionregistration.k8s.io: mutatingwebhookconfigurations MutatingWebhookConfiguration c a
admissionregistration.k8s.io: validatingadmissionpolicies ValidatingAdmissionPolicy c a status
admissionregistration.k8s.io: validatingadmissionpolicybindings ValidatingAdmissionPolicyBinding c a
admissionregistration.k8s.io: validatingwebhookconfigurations ValidatingWebhookConfiguration c a
apiextensions.k8s.io: customresourcedefinitions CustomResourceDefinition c a status
apiregistration.k8s.io: apiservices APIService c a status
apps: controllerrevisions ControllerRevision n a
apps: daemonsets DaemonSet n w status
apps: deployments Deployment n w scale status
apps: replicasets ReplicaSet n w scale status
apps: statefulsets StatefulSet n w scale status
authentication.k8s.io: selfsubjectreviews SelfSubjectReview c a
authentication.k8s.io: tokenreviews TokenReview c a
authorization.k8s.io: localsubjectaccessreviews LocalSubjectAccessReview n a
authorization.k8s.io: selfsubjectaccessreviews SelfSubjectAccessReview c a
authorization.k8s.io: selfsubjectrulesreviews SelfSubjectRulesReview c a
authorization.k8s.io: subjectaccessreviews SubjectAccessReview c a
autoscaling: horizontalpodautoscalers HorizontalPodAutoscaler n w status
batch: cronjobs CronJob n w status
batch: jobs Job n w status
certificates.k8s.io: certificatesigningrequests CertificateSigningRequest c a approval status
certificates.k8s.io: clustertrustbundles ClusterTrustBundle c a
certificates.k8s.io: podcertificaterequests PodCertificateRequest n a status
coordination.k8s.io: leasecandidates LeaseCandidate n w
coordination.k8s.io: leases Lease n w
discovery.k8s.io: endpointslices EndpointSlice n a
events.k8s.io: events Event n w
flowcontrol.apiserver.k8s.io: flowschemas FlowSchema c a status
flowcontrol.apiserver.k8s.io: prioritylevelconfigurations PriorityLevelConfiguration c a status
internal.apiserver.k8s.io: storageversions StorageVersion c a status
metrics.k8s.io: nodes NodeMetrics c a
metrics.k8s.io: pods PodMetrics n a
networking.k8s.io: ingressclasses IngressClass c a
networking.k8s.io: ingresses Ingress n w status
networking.k8s.io: ipaddresses IPAddress c a
networking.k8s.io: networkpolicies NetworkPolicy n w status
networking.k8s.io: servicecidrs ServiceCIDR c a status
node.k8s.io: runtimeclasses RuntimeClass c a
policy: poddisruptionbudgets PodDisruptionBudget n w status
rbac.authorization.k8s.io: clusterrolebindings ClusterRoleBinding c a
rbac.authorization.k8s.io: clusterroles ClusterRole c a
rbac.authorization.k8s.io: rolebindings RoleBinding n a
rbac.authorization.k8s.io: roles Role n a
resource.k8s.io: deviceclasses DeviceClass c a
resource.k8s.io: devicetaintrules DeviceTaintRule c a status
resource.k8s.io: resourceclaims ResourceClaim n w status
resource.k8s.io: resourceclaimtemplates ResourceClaimTemplate n w
resource.k8s.io: resourcepoolstatusrequests ResourcePoolStatusRequest c a status
resource.k8s.io: resourceslices ResourceSlice c a
scheduling.k8s.io: podgroups PodGroup n w status
scheduling.k8s.io: priorityclasses PriorityClass c a
scheduling.k8s.io: workloads Workload n w
storage.k8s.io: csidrivers CSIDriver c a
storage.k8s.io: csinodes CSINode c a
storage.k8s.io: csistoragecapacities CSIStorageCapacity n a
storage.k8s.io: storageclasses StorageClass c a
storage.k8s.io: volumeattachments VolumeAttachment c a status
storage.k8s.io: volumeattributesclasses VolumeAttributesClass c a
storagemigration.k8s.io: storageversionmigrations StorageVersionMigration c a status
"""


def _read() -> dict[tuple[str, str], Known]:
    found = {}
    for line in _TABLE.strip().splitlines():
        group, _, rest = line.partition(":")
        resource, kind, scope, reach, *subresources = rest.split()
        found[group, resource] = Known(kind, scope == "n", reach == "a", frozenset(subresources))
    return found


KNOWN: Mapping[tuple[str, str], Known] = MappingProxyType(_read())
REVIEWS = frozenset(resource for group, resource in KNOWN if resource.endswith("reviews") and group.startswith("auth"))
WORKLOADS = frozenset(
    "pods podtemplates replicationcontrollers daemonsets deployments replicasets statefulsets cronjobs jobs".split()
)
SCALED = frozenset("replicationcontrollers deployments replicasets statefulsets".split())
KINDS: Mapping[str, tuple[str, str]] = MappingProxyType({known.kind: place for place, known in KNOWN.items()})
