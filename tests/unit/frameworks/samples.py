"""Short configurations in the style of the frameworks' public examples."""

MEGATRON = """\
#!/bin/bash
# A mixture of experts on 64 nodes.
export CUDA_DEVICE_MAX_CONNECTIONS=1
GPUS_PER_NODE=8
NNODES=${SLURM_NNODES:-64}
TP=2; PP=8; EP=32

DISTRIBUTED_ARGS=(
    --nproc_per_node $GPUS_PER_NODE
    --nnodes $NNODES
    --master_port 6000
)
MODEL_ARGS=(
    --num-layers 61
    --hidden-size 7168
    --ffn-hidden-size 18432
    --num-attention-heads 128
    --multi-latent-attention
    --q-lora-rank 1536
    --kv-lora-rank 512
    --qk-head-dim 128
    --qk-pos-emb-head-dim 64
    --v-head-dim 128
    --qk-layernorm
    --swiglu
    --normalization RMSNorm
    --disable-bias-linear
    --position-embedding-type rope
    --untie-embeddings-and-output-weights
    --seq-length 4096
    --max-position-embeddings 163840
    --vocab-size 129280
    --mtp-num-layers 1
)
MOE_ARGS=(
    --num-experts 256
    --moe-layer-freq "([0]*3+[1]*58)"
    --moe-ffn-hidden-size 2048
    --moe-shared-expert-intermediate-size 2048
    --moe-router-topk 8
    --moe-router-num-groups 8
    --moe-router-group-topk 4
    --moe-token-dispatcher-type flex
)
PARALLEL_ARGS="
    --tensor-model-parallel-size $TP \\
    --pipeline-model-parallel-size $PP \\
    --pipeline-model-parallel-layout Et*3|(tt|)*29m|L \\
    --expert-model-parallel-size $EP \\
    --expert-tensor-parallel-size 1 \\
    --sequence-parallel \\
    --use-distributed-optimizer \\
    --overlap-grad-reduce --overlap-param-gather \\
    --overlap-moe-expert-parallel-comm --delay-wgrad-compute
"
TRAIN_ARGS=(
    --micro-batch-size 1
    --global-batch-size 8192
    --bf16
    --fp8-format e4m3 --fp8-recipe blockwise
    --recompute-granularity selective
    --recompute-modules mla_up_proj layernorm moe_act
    --lr 2.2e-4 --min-lr 2.2e-5
)
torchrun ${DISTRIBUTED_ARGS[@]} pretrain_gpt.py \\
    ${MODEL_ARGS[@]} ${MOE_ARGS[@]} $PARALLEL_ARGS "${TRAIN_ARGS[@]}" \\
    --save "$CHECKPOINTS"
"""

MEGATRON_KEYS = """\
ENV_VARS:
  CUDA_DEVICE_MAX_CONNECTIONS: 1
MODEL_ARGS:
  --num-layers: 12
  --hidden-size: 512
  --num-attention-heads: 8
  --seq-length: 1024
  --micro-batch-size: 4
  --global-batch-size: 32
  --tensor-model-parallel-size: 2
  --pipeline-model-parallel-size: 2
  --num-layers-per-virtual-pipeline-stage: 1
  --sequence-parallel: false
  --use-distributed-optimizer: true
  --bf16: true
"""

BRIDGE = """\
# Changes to a recipe.
model:
  seq_length: 8192
  tensor_model_parallel_size: 4
  pipeline_model_parallel_size: 8
  virtual_pipeline_model_parallel_size: 5
  context_parallel_size: 2
  sequence_parallel: true
train:
  global_batch_size: 512
  micro_batch_size: 1
  train_iters: 100
ddp:
  overlap_grad_reduce: true
  overlap_param_gather: true
comm_overlap:
  tp_comm_overlap: true
mixed_precision: bf16_with_mxfp8_mixed
logger:
  log_interval: 1
"""

BRIDGE_OVERRIDES = """\
torchrun --nproc-per-node=8 --nnodes=32 pretrain_llama3_70b.py \\
  model.tensor_model_parallel_size=4 model.pipeline_model_parallel_size=4 model.context_parallel_size=2 \\
  +model.recompute_granularity=full model.cp_comm_type=a2a \\
  train.global_batch_size=128 train.micro_batch_size=1 \\
  checkpoint.save=/checkpoints
"""

TORCHTITAN = """\
# torchrun --nnodes=64 --nproc-per-node=8
[model]
name = "llama3"
flavor = "405B"
converters = ["quantize.linear.float8"]

[training]
local_batch_size = 16
seq_len = 8192
steps = 3000

[parallelism]
data_parallel_replicate_degree = 2
data_parallel_shard_degree = -1
tensor_parallel_degree = 8
enable_async_tensor_parallel = true
pipeline_parallel_degree = 4
pipeline_parallel_schedule = "Interleaved1F1B"
pipeline_parallel_microbatch_size = 1
pipeline_parallel_layers_per_stage = 8

[activation_checkpoint]
mode = "selective"
selective_ac_option = "op"

[compile]
enable = true
"""

TORCHTITAN_WORDS = """\
NGPU=8 torchrun --nnodes 2 --nproc_per_node ${NGPU} -m torchtitan.train \\
  --model.name deepseek_v3 --model.flavor 671B --training.local_batch_size 32 --training.global_batch_size 64 \\
  --training.seq_len 4096 --parallelism.pipeline_parallel_degree 4 \\
  --parallelism.pipeline_parallel_schedule DualPipeV --parallelism.expert_parallel_degree 4 \\
  --parallelism.data_parallel_shard_degree 2 --parallelism.tensor_parallel_degree=2 \\
  --activation_checkpoint.mode none --training.enable_cpu_offload
"""

MINDSPEED = """\
NPUS_PER_NODE=16
NNODES=24
WORLD_SIZE=$(($NPUS_PER_NODE*$NNODES))
DISTRIBUTED_ARGS="--nproc_per_node $NPUS_PER_NODE --nnodes $NNODES"
GPT_ARGS="
    --tensor-model-parallel-size 8 \\
    --pipeline-model-parallel-size 2 \\
    --context-parallel-size 4 \\
    --context-parallel-algo ulysses_cp_algo \\
    --sequence-parallel \\
    --use-ascend-mc2 \\
    --use-flash-attn \\
    --use-distributed-optimizer --swap-optimizer \\
    --swap-attention \\
    --recompute-norm --recompute-activation-function \\
    --num-layers 80 --hidden-size 8192 --num-attention-heads 64 --seq-length 32768 \\
    --micro-batch-size 1 --global-batch-size 96 --bf16 --reuse-fp32-param
"
torchrun $DISTRIBUTED_ARGS pretrain_gpt.py $GPT_ARGS
"""

MINDSPEED_FOLDED = """\
torchrun --nproc_per_node 16 --nnodes 8 pretrain_gpt.py \\
    --tensor-model-parallel-size 2 --pipeline-model-parallel-size 8 --expert-model-parallel-size 4 --moe-tp-extend-ep \\
    --num-layers 64 --hidden-size 4096 --num-attention-heads 32 --num-experts 64 --seq-length 4096 \\
    --schedules-method dualpipev --moe-fb-overlap --sequence-parallel --use-flash-attn \\
    --micro-batch-size 1 --global-batch-size 256 --bf16
"""
