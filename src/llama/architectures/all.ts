/** All architectures, one line each, under the names by which `createLlama` knows them; no `_` in a name, which tfjs would take out. */
export {gemma3} from './gemma3';
export {llama} from './llama';
export {mistral} from './mistral';
export {qwen2} from './qwen2';
export {qwen3} from './qwen3';
