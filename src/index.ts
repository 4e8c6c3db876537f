export {OwLoreOptimizer} from './owlore_optimizer';
export type {OwLoreOptions} from './owlore_options';
export {cosineDecay, linearDecay, warmup} from './optim/schedule';
