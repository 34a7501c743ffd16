"""Launch commands in the style of the engines' public guides."""

VLLM = """#!/bin/bash
export VLLM_ALL2ALL_BACKEND=deepep_low_latency
TP=${TP:-8}
vllm serve meta-llama/Llama-3.1-70B-Instruct \\
    --host 0.0.0.0 --port 8000 \\
    --tensor-parallel-size $TP \\
    --max-num-seqs=256 --max-num-batched-tokens 16k \\
    --max-model-len 32768 \\
    --gpu-memory-utilization 0.92 \\
    --kv-cache-dtype fp8 \\
    --block-size 32 --num-gpu-blocks-override 1000 \\
    --no-enable-prefix-caching \\
    --scheduling-policy priority \\
    --enforce-eager \\
    --speculative-config '{"method": "eagle3", "model": "yuhuili/EAGLE3", "num_speculative_tokens": 3}' 2>&1 | tee log
"""

# The first node serves, the second has no server; comments stand after the backslash as in the guide.
VLLM_NODES = """
vllm serve deepseek-ai/DeepSeek-V3-0324 \\
    --tensor-parallel-size 1 \\               # TP size per node
    --enable-expert-parallel \\               # Enable EP
    --data-parallel-size 16 \\
    --data-parallel-size-local 8 \\
    --data-parallel-address 192.168.1.100 \\
    --enable-eplb --eplb-config '{"window_size":1000,"num_redundant_experts":32}' \\
    --api-server-count=8
vllm serve deepseek-ai/DeepSeek-V3-0324 --tensor-parallel-size 1 --enable-expert-parallel --data-parallel-size 16 \\
    --data-parallel-size-local 8 --data-parallel-start-rank 8 --data-parallel-address 192.168.1.100 --headless
"""

VLLM_PROXY = """
CUDA_VISIBLE_DEVICES=0 VLLM_NIXL_SIDE_CHANNEL_PORT=5600 vllm serve Qwen/Qwen3-8B --port 8100 \\
  --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}' &
CUDA_VISIBLE_DEVICES=1 vllm serve Qwen/Qwen3-8B --port 8200 --max-num-seqs 64 \\
  --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}' &
CUDA_VISIBLE_DEVICES=2 vllm serve Qwen/Qwen3-8B --port 8201 --max-num-seqs 64 \\
  --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}' &
python tests/v1/kv_connector/nixl_integration/toy_proxy_server.py --port 8192 \\
  --prefiller-hosts localhost --prefiller-ports 8100 \\
  --decoder-hosts localhost localhost --decoder-ports 8200 8201
"""

VLLM_DOCKER = """
docker run --gpus all -p 8000:8000 vllm/vllm-openai:v0.6.3 --model mistralai/Mixtral-8x7B-Instruct-v0.1 -tp 2
"""

VLLM_OPTIONS = """model: Qwen/Qwen3-30B-A3B
tensor-parallel-size: 4
enable-expert-parallel: true
max-num-seqs: 128
gpu-memory-utilization: 0.85
"""

SGLANG = """
python3 -m sglang.launch_server --model-path deepseek-ai/DeepSeek-V3 --tp 8 --dp-size 2 \\
  --trust-remote-code --host 0.0.0.0 --port 30000 \\
  --max-running-requests 512 --mem-fraction-static 0.8 --page-size 64 --context-length 65536 \\
  --speculative-algorithm NEXTN --speculative-num-steps 3 --speculative-eagle-topk 1 --speculative-num-draft-tokens 4 \\
  --enable-mixed-chunk --schedule-policy lpm
"""

SGLANG_POOLS = """
MODEL=deepseek-ai/DeepSeek-V3-0324
COMMON=(--model-path $MODEL --trust-remote-code --nnodes 2 --tp-size 16 --dp-size 8 --enable-dp-attention \\
  --moe-a2a-backend deepep --mem-fraction-static 0.8)
python -m sglang.launch_server --disaggregation-mode prefill --port 30000 --node-rank 0 ${COMMON[@]} \\
  --chunked-prefill-size 524288 --enable-two-batch-overlap
python -m sglang.launch_server --disaggregation-mode prefill --port 30000 --node-rank 1 ${COMMON[@]} \\
  --chunked-prefill-size 524288 --enable-two-batch-overlap
python -m sglang.launch_server --disaggregation-mode decode --port 30001 --node-rank 0 ${COMMON[@]} \\
  --max-running-requests 1024 --ep-num-redundant-experts 32
python -m sglang_router.launch_router --pd-disaggregation --policy cache_aware \\
  --prefill http://10.0.0.1:30000 8998 --prefill http://10.0.0.2:30000 8998 --prefill http://10.0.0.3:30000 8998 \\
  --decode http://10.0.1.1:30001 --host 0.0.0.0 --port 8000
"""

TRTLLM = """
cat > ./extra-llm-api-config.yml <<EOF
enable_attention_dp: true
kv_cache_config:
  dtype: fp8
  enable_block_reuse: false
  tokens_per_block: 64
cuda_graph_config:
  enable_padding: true
  max_batch_size: 128
moe_config:
  backend: DEEPGEMM
speculative_config:
  decoding_type: MTP
  num_nextn_predict_layers: 3
EOF
srun -N 2 --ntasks 16 --mpi=pmix trtllm-llmapi-launch trtllm-serve --tp_size 16 --ep_size 8 --pp_size 1 \\
  --max_batch_size 128 --max_num_tokens 4096 --max_seq_len 9216 --kv_cache_free_gpu_memory_fraction 0.85 \\
  --extra_llm_api_options ./extra-llm-api-config.yml nvidia/DeepSeek-R1-FP4
"""

TRTLLM_POOLS = """
echo -e "cache_transceiver_config:\\n  backend: UCX" > gen.yml
cat > disagg_config.yaml <<'EOF'
hostname: localhost
port: 8000
context_servers:
  num_instances: 2
  router:
    type: kv_cache_aware
  urls:
    - "localhost:8001"
    - "localhost:8002"
generation_servers:
  num_instances: 1
  urls: ["localhost:8003"]
EOF
CUDA_VISIBLE_DEVICES=0 trtllm-serve Qwen/Qwen3-8B --host localhost --port 8001 &> log_ctx_0 &
CUDA_VISIBLE_DEVICES=1 trtllm-serve Qwen/Qwen3-8B --host localhost --port 8002 &> log_ctx_1 &
CUDA_VISIBLE_DEVICES=2 trtllm-serve Qwen/Qwen3-8B --host localhost --port 8003 --max_batch_size 64 &> log_gen_0 &
trtllm-serve disaggregated -c disagg_config.yaml
"""

ALL = {name: text for name, text in list(globals().items()) if isinstance(text, str) and name.isupper()}
