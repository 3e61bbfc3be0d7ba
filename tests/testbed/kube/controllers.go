package main

import (
	"context"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/controller-manager/pkg/informerfactory"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/controller/certificates/rootcacertpublisher"
	"k8s.io/kubernetes/pkg/controller/certificates/signer"
	"k8s.io/kubernetes/pkg/controller/clusterroleaggregation"
	"k8s.io/kubernetes/pkg/controller/deployment"
	"k8s.io/kubernetes/pkg/controller/garbagecollector"
	"k8s.io/kubernetes/pkg/controller/job"
	"k8s.io/kubernetes/pkg/controller/namespace"
	"k8s.io/kubernetes/pkg/controller/replicaset"
	"k8s.io/kubernetes/pkg/controller/serviceaccount"
	"k8s.io/kubernetes/pkg/controller/statefulset"
)

// startControllers starts those of Kubernetes' own controllers that a test
// through kubectl leans on: namespaces that end, a default service account and
// the root certificate in each, the rules of the roles admin, edit and view,
// deployments, stateful sets and jobs that make pods, what goes with its owner,
// and certificates that are signed once approved. The whole of
// kube-controller-manager would add some 300 packages to the build; these add
// about twenty. The channel is to be closed once the informers run.
func startControllers(ctx context.Context, config *rest.Config, client kubernetes.Interface, factory informers.SharedInformerFactory,
	in func(string) string) (chan struct{}, error) {
	started := make(chan struct{})
	meta, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	core, apps := factory.Core().V1(), factory.Apps().V1()
	ends := namespace.NewNamespaceController(ctx, client, meta, client.Discovery().ServerPreferredNamespacedResources,
		core.Namespaces(), 5*time.Minute, corev1.FinalizerKubernetes)
	accounts, err := serviceaccount.NewServiceAccountsController(klog.FromContext(ctx), core.ServiceAccounts(), core.Namespaces(), client,
		serviceaccount.DefaultServiceAccountsControllerOptions())
	if err != nil {
		return nil, err
	}
	ca, err := os.ReadFile(in("pki/ca.crt"))
	if err != nil {
		return nil, err
	}
	publisher, err := rootcacertpublisher.NewPublisher(core.ConfigMaps(), core.Namespaces(), client, ca)
	if err != nil {
		return nil, err
	}
	deployments, err := deployment.NewDeploymentController(ctx, apps.Deployments(), apps.ReplicaSets(), core.Pods(), client)
	if err != nil {
		return nil, err
	}
	jobs, err := job.NewController(ctx, client, core.Pods(), factory.Batch().V1().Jobs(), nil, nil)
	if err != nil {
		return nil, err
	}
	signs, err := signer.NewKubeAPIServerClientCSRSigningController(ctx, client, factory.Certificates().V1().CertificateSigningRequests(),
		in("pki/ca.crt"), in("pki/ca.key"), 24*time.Hour)
	if err != nil {
		return nil, err
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(client.Discovery()))
	collects, err := garbagecollector.NewGarbageCollector(ctx, client, meta, mapper, garbagecollector.DefaultIgnoredResources(),
		informerfactory.NewInformerFactory(factory, metadatainformer.NewSharedInformerFactory(meta, 0)), started)
	if err != nil {
		return nil, err
	}
	sets := replicaset.NewReplicaSetController(ctx, apps.ReplicaSets(), core.Pods(), client, 100)
	stateful := statefulset.NewStatefulSetController(ctx, core.Pods(), apps.StatefulSets(), core.PersistentVolumeClaims(),
		apps.ControllerRevisions(), client)
	roles := clusterroleaggregation.NewClusterRoleAggregation(factory.Rbac().V1().ClusterRoles(), client.RbacV1())
	go ends.Run(ctx, 2)
	go roles.Run(ctx, 2)
	go accounts.Run(ctx, 1)
	go publisher.Run(ctx, 1)
	go sets.Run(ctx, 2)
	go stateful.Run(ctx, 1)
	go deployments.Run(ctx, 2)
	go jobs.Run(ctx, 1)
	go signs.Run(ctx, 1)
	go collects.Run(ctx, 2, 30*time.Second)
	go collects.Sync(ctx, client.Discovery(), 5*time.Second) // new kinds are seen after that time
	return started, nil
}
