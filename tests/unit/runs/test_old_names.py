"""What configurations, checkpoints and code of 0.1.0 name is still found by the names that it had then."""

from importlib import import_module

import pytest
import torch

import adawac
from adawac.data.layouts import Collection
from adawac.data.preprocessing import Preprocessing
from adawac.runs.old_names import with_new_names
from adawac.training.configuration import resolve
from adawac.weighting import LastLosses

# module: classes
OF_0_1_0 = """
adawac.augment.views: Augmentation NoAugmentation PaperAugmentation RandomAugmentation
adawac.callbacks: CaseTableWriter DueValidation FiniteGuard PredictionPictures RunProgress RunRecord StopOnSignal
adawac.callbacks: SuspectSlices WeightMonitor
adawac.callbacks.case_table: CaseTableWriter
adawac.callbacks.finite: FiniteGuard
adawac.callbacks.interruption: DueValidation StopOnSignal
adawac.callbacks.pictures: PredictionPictures
adawac.callbacks.progress: RunProgress
adawac.callbacks.run_record: RunRecord
adawac.callbacks.suspects: SuspectSlices
adawac.callbacks.weight_monitor: WeightMonitor
adawac.consistency: CombinedConsistency Consistency ConsistencyLoss ProbabilityConsistency RelationalConsistency
adawac.consistency.base: ConsistencyLoss
adawac.consistency.combined: CombinedConsistency
adawac.consistency.features: Consistency
adawac.consistency.probabilities: ProbabilityConsistency
adawac.consistency.relational: RelationalConsistency
adawac.data.groups: CaseTable Density Grouping OrganPresent PositionBins
adawac.data.layouts: ACDC Folders Layout MSD NNUNet Synapse
adawac.data.layouts.acdc: ACDC
adawac.data.layouts.arrays: ArrayLayout
adawac.data.layouts.base: Case Collection Layout
adawac.data.layouts.folders: Folders
adawac.data.layouts.msd: MSD
adawac.data.layouts.nifti: NiftiLayout
adawac.data.layouts.nnunet: NNUNet
adawac.data.layouts.synapse: Synapse
adawac.data.datamodule: SegmentationData
adawac.data.sampling: ForegroundOversampling GroupBalanced HardnessWeighted Sampling
adawac.data.splits: AutoSplit FileSplit FoldSplit FractionSplit LayoutSplit Split SplitRule
adawac.data.subsets: Full HalfSlice HalfSparse HalfVolume SparseMix Subset Trim
adawac.losses: CrossEntropy DiceCrossEntropy Focal SupervisedLoss
adawac.networks: Ensemble NetworkSpec SegmentationNetwork
adawac.networks.adapter: SegmentationNetwork
adawac.networks.resnet_unet: ResNetUNet
adawac.networks.spec: NetworkSpec
adawac.networks.transunet: TransUNet
adawac.saving: WholeCheckpoints
adawac.schedules: Constant Cosine Poly Schedule
adawac.task: SegmentationTask
adawac.weighting: ACROnly AdaWAC CVaRDRO ERM GroupDRO LastLosses PMDRO Pair PseudoAdaWAC ReweightOnly TrimRatio
adawac.weighting: TrimRatioACR TrimTrain TrimTrainACR Weighting
adawac.weighting.adawac: AdaWAC
adawac.weighting.base: Weighting
adawac.weighting.constant: ACROnly ERM Pair PseudoAdaWAC
adawac.weighting.cvar: CVaRDRO
adawac.weighting.group_dro: GroupDRO
adawac.weighting.last_losses: LastLosses
adawac.weighting.simplex: PMDRO ReweightOnly
adawac.weighting.trimming: TrimRatio TrimRatioACR TrimTrain TrimTrainACR
"""
PATHS = [
    f"{module}.{name}"
    for module, names in (line.split(": ") for line in OF_0_1_0.split("\n") if line)
    for name in names.split()
]
CALLED_OTHERWISE = {"Consistency": "FeatureConsistency", "WholeCheckpoints": "AtomicCheckpointIO"}


@pytest.mark.parametrize("path", PATHS)
def test_a_class_path_of_then_leads_to_the_class(path):
    module, _, name = with_new_names(path).rpartition(".")
    found = getattr(import_module(module), name)
    was = path.rpartition(".")[2]
    assert found.__name__ == CALLED_OTHERWISE.get(was, was)


def test_a_weighting_of_then_reads_and_returns_what_it_did():
    with pytest.warns(FutureWarning, match="adawac.Terms is called adawac.SampleLosses now; write that"):
        losses = adawac.Terms(torch.arange(2), torch.tensor([0.5, 2.0]), None, torch.tensor([True, False]))
    with pytest.warns(FutureWarning, match=r"SampleLosses\.ce is called SampleLosses\.supervised now; write that"):
        assert losses.ce is losses.supervised
    with pytest.warns(FutureWarning, match=r"Weights\(ce=\.\.\.\) is called Weights\(supervised=\.\.\.\) now"):
        weights = adawac.Weights(ce=losses.supervised, consistency=None)
    assert weights.supervised is losses.supervised
    with pytest.warns(FutureWarning, match=r"Weights\.ce is called Weights\.supervised now; write that"):
        assert weights.ce is weights.supervised
    with pytest.raises(TypeError, match=r"needs the weights of the supervised losses"):
        adawac.Weights()


def test_the_state_of_then_is_loaded():
    table = LastLosses()
    table.load_state_dict({"ce": torch.tensor([0.5, 2.0]), "consistency": torch.zeros(2)})
    assert table.supervised.tolist() == [0.5, 2.0]
    weighting = adawac.AdaWAC(num_samples=2)
    state = weighting.state_dict()
    state["mean_ce"] = state.pop("mean_supervised") + 3
    weighting.load_state_dict(state)
    assert weighting.mean_supervised == 3


@pytest.mark.parametrize("how", ["a file", "arguments", "a mapping"])
def test_values_of_then_are_read_as_what_they_are_called_now(tmp_path, how):
    file = tmp_path / "made.yaml"
    network = "model.network.architecture", "monai.networks.nets.UNet"
    given = dict([network]) | {"data.root": "DATA", "data.modality": "unit", "model.consistency": "Consistency"}
    if how == "a file":
        model = "model: {consistency: {class_path: Consistency, init_args: {aligned: false}}}"
        file.write_text(f"data: {{root: DATA, modality: unit}}\n{model}\n")
        config = resolve(["fit", str(file), f"--{'='.join(network)}"])
    elif how == "arguments":
        config = resolve(["fit", *(part for key, value in given.items() for part in (f"--{key}", value))])
    else:
        config = resolve(given)
    assert config.values["data.modality"] == "prescaled"
    assert config.values["model.consistency.class_path"].endswith(".FeatureConsistency")


def test_a_run_may_be_called_as_a_class_or_a_modality_was():
    assert with_new_names({"name": "Consistency", "data.root": "unit"}) == {"name": "Consistency", "data.root": "unit"}


def test_recipes_and_layouts_of_then_may_say_unit():
    plain = Preprocessing("prescaled").to_json() | {"modality": "unit"}
    assert Preprocessing.from_json(plain) == Preprocessing("prescaled")
    assert Collection("mine", (), {}, ("MR",), "unit").modality == "prescaled"
