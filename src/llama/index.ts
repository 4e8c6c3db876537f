export type {LlamaConfig, RopeScaling} from './config';
export {sparseCrossEntropy} from './loss';
export {createLlama} from './model';
export type {HostTensor, SafetensorsFile, SafetensorsOptions} from './safetensors';
export {parseSafetensors, serializeSafetensors} from './safetensors';
export {getLlamaWeights, setLlamaWeights} from './weights';
