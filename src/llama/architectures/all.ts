/**
 * All architectures, one line each, under the names that `createLlama` uses. A name must not contain `_`, because tfjs turns
 * the strings of a saved model's configuration into camel case.
 */
export {gemma3} from './gemma3';
export {llama} from './llama';
export {mistral} from './mistral';
export {qwen2} from './qwen2';
export {qwen3} from './qwen3';
