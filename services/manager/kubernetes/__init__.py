"""What Kubernetes' HorizontalPodAutoscaler computes, as pure functions; the scaler that reads our numbers is
`services.manager.scalers.hpa`.

Followed: kubernetes/kubernetes, pkg/controller/podautoscaler (replica_calculator.go, horizontal.go) as of v1.33, in
which each direction has its tolerance. Amounts are whole thousandths there (`MilliValue`) and utilisation whole per
cent, cut, not rounded; so they are here.
"""
