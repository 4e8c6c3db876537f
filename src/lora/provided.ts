import type {applyLora} from './lora';

/**
 * What the core has of LoRA where `tfjs-owlore/lora` is loaded, as it is in Node; a page that trains otherwise does not load it.
 */
export const provided: {applyLora: typeof applyLora | null} = {applyLora: null};
