/**
 * Replaces $(NAME) by the variable's value; $$(NAME) gives the literal $(NAME), and a name nobody defined stays as it is written
 * (Kubernetes documentation, "Define Dependent Environment Variables").
 */
export function expandReferences(text: string, variables: ReadonlyMap<string, string>): string {
  return text.replace(/\$\$|\$\(([^)]*)\)/g, (whole, name: string | undefined) => {
    if (whole === '$$') return '$';
    return variables.get(name ?? '') ?? whole;
  });
}
