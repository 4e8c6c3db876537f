import {applyLora} from './lora';
import {provided} from './provided';

provided.applyLora = applyLora;

export {applyLora, Lora} from './lora';
export type {LoraOptions} from './lora_options';
export type {LoraTarget, LoraTargets} from './targets';
export {loadLora} from './load_lora';
export type {SaveLoraOptions} from './adapter_files';
