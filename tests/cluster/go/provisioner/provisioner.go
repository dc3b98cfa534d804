// Package provisioner gives out folders as volumes.
//
// All nodes of a test cluster see one file system. A plain folder therefore behaves as a disk on the network does, and
// one whose volume is bound to a node by affinity behaves as that node's own disk.
package provisioner

import (
	"context"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v10/controller"
)

// Name stands in the storage classes that this program serves.
const Name = "lifeboat.test/directory"

type directories struct{ root string }

func (d directories) Provision(_ context.Context, o controller.ProvisionOptions) (*core.PersistentVolume, controller.ProvisioningState, error) {
	owner := "shared"
	var affinity *core.VolumeNodeAffinity
	if o.StorageClass.Parameters["tied"] == "node" && o.SelectedNode != nil {
		owner = o.SelectedNode.Name
		affinity = &core.VolumeNodeAffinity{Required: &core.NodeSelector{NodeSelectorTerms: []core.NodeSelectorTerm{{
			MatchExpressions: []core.NodeSelectorRequirement{{
				Key: core.LabelHostname, Operator: core.NodeSelectorOpIn, Values: []string{owner},
			}},
		}}}}
	}
	path := filepath.Join(d.root, owner, o.PVC.Namespace+"_"+o.PVC.Name+"_"+o.PVName)
	if err := os.MkdirAll(path, 0o777); err != nil {
		return nil, controller.ProvisioningFinished, err
	}
	if err := os.Chmod(path, 0o777); err != nil { // the umask took some of it
		return nil, controller.ProvisioningFinished, err
	}
	kind := core.HostPathDirectory // so that a lost folder fails to mount; the default would make an empty one
	return &core.PersistentVolume{
		ObjectMeta: meta.ObjectMeta{Name: o.PVName},
		Spec: core.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: *o.StorageClass.ReclaimPolicy,
			AccessModes:                   o.PVC.Spec.AccessModes,
			Capacity:                      core.ResourceList{core.ResourceStorage: o.PVC.Spec.Resources.Requests[core.ResourceStorage]},
			PersistentVolumeSource:        core.PersistentVolumeSource{HostPath: &core.HostPathVolumeSource{Path: path, Type: &kind}},
			NodeAffinity:                  affinity,
		},
	}, controller.ProvisioningFinished, nil
}

func (d directories) Delete(_ context.Context, v *core.PersistentVolume) error {
	return os.RemoveAll(v.Spec.HostPath.Path)
}

// NewCommand is the program, to be run under its own name.
func NewCommand() *cobra.Command {
	var config, root string
	c := &cobra.Command{Use: "directory-provisioner", RunE: func(c *cobra.Command, _ []string) error {
		rest, err := clientcmd.BuildConfigFromFlags("", config)
		if err != nil {
			return err
		}
		client, err := kubernetes.NewForConfig(rest)
		if err != nil {
			return err
		}
		controller.NewProvisionController(klog.Background(), client, Name, directories{root}, controller.LeaderElection(false)).Run(c.Context())
		return nil
	}}
	c.Flags().StringVar(&config, "kubeconfig", "", "how to reach the cluster")
	c.Flags().StringVar(&root, "root", "", "where the directories are made")
	return c
}
